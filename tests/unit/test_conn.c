/* Raw conversations and their exact answers, as nats-server 2.15.2 gives them; limits, slow consumers,
 * barriers, back pressure, and the ways a connection ends. */
#include "conn_host.h"

#define C0                                                                                                   \
    "CONNECT "                                                                                               \
    "{\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true,\"protocol\":1}\r\n"
#define V0               "CONNECT {\"verbose\":true}\r\n"
#define Q0               "CONNECT {\"verbose\":false}\r\n"
#define HI               "INFO{} \r\n"
#define PONG             "PONG\r\nINFO{ci} \r\n"
#define ERR_(t)          "-ERR '" t "'\r\n"
#define VIOLATION(t)     "-ERR 'Permissions Violation for " t "'\r\n"
#define S503(reply, sid) "HMSG " reply " " sid " 33 33\r\nNATS/1.0 503\r\nNats-Subject: a\r\n\r\n\r\n"

static const struct transcript {
    const char *name, *say, *hear;
} transcripts[] = {
    {"second connect drops subscriptions",
     C0 "SUB a 1\r\nPING\r\n" C0 "PUB a 1\r\nx\r\nPING\r\nSUB a 1\r\nPUB a 1\r\ny\r\n",
     HI PONG "PONG\r\nMSG a 1 1\r\ny\r\n"},
    {"ping before connect", "PING\r\nCONNECT {\"protocol\":1}\r\nPING\r\nPING\r\n",
     HI "PONG\r\n+OK\r\n" PONG "PONG\r\n"},
    {"publish before connect", "PUB a 1\r\nx\r\nSUB a 1\r\nPUB a 1\r\nx\r\n",
     HI "+OK\r\n+OK\r\n+OK\r\nMSG a 1 1\r\nx\r\n"},
    {"verbose",
     V0 "SUB a 1\r\nPUB a 1\r\nx\r\nUNSUB 1\r\nUNSUB 1\r\nUNSUB 9\r\nSUB a..b 2\r\nPUB a..b 1\r\nx\r\nSUB a "
        "1\r\nSUB b 1\r\nPING\r\n",
     HI "+OK\r\n+OK\r\n+OK\r\nMSG a 1 1\r\nx\r\n+OK\r\n+OK\r\n+OK\r\n" ERR_("Invalid Subject")
         ERR_("Invalid Publish Subject") "+OK\r\n+OK\r\n+OK\r\nPONG\r\n"},
    {"unreadable connect", "CONNECT {bad}\r\n", HI "<EOF>"},
    {"protocol 2", "CONNECT {\"protocol\":2}\r\n", HI ERR_("invalid client protocol") "<EOF>"},
    {"no responders without headers", "CONNECT {\"no_responders\":true}\r\n",
     HI ERR_("no responders requires headers support") "<EOF>"},
    {"protocol is looked at first", "CONNECT {\"no_responders\":true,\"protocol\":5}\r\n",
     HI ERR_("invalid client protocol") "<EOF>"},
    {"account", "CONNECT {\"account\":\"x\"}\r\n", HI ERR_("Authorization Violation") "<EOF>"},
    {"new account", "CONNECT {\"new_account\":true}\r\n", HI ERR_("Authorization Violation") "<EOF>"},
    {"no protocol", C0 "FOO\r\n", HI ERR_("Unknown Protocol Operation") "<EOF>"},
    {"no protocol after ping", C0 "PING\r\nFOO\r\n", HI PONG ERR_("Unknown Protocol Operation") "<EOF>"},
    {"server's verbs", C0 "MSG a 1 1\r\nx\r\n", HI ERR_("Unknown Protocol Operation") "<EOF>"},
    {"-ERR from the client", C0 "-ERR 'x'\r\nPING\r\n", HI "<EOF>"},
    {"INFO from the client", C0 "INFO {\"a\":1}\r\nPING\r\n", HI PONG},
    {"unreadable INFO", C0 "INFO {x\r\nPING\r\n", HI "<EOF>"},
    {"+OK from the client", C0 "+OK\r\nPING\r\n", HI PONG},
    {"503", C0 "SUB in.* 5\r\nPUB a in.1 1\r\nx\r\nPUB a in.2 0\r\n\r\nPUB a other 0\r\n\r\nPING\r\n",
     HI S503("in.1", "5") S503("in.2", "5") PONG},
    {"503 not to queue members", C0 "SUB in.* q 5\r\nPUB a in.1 1\r\nx\r\nPING\r\n", HI PONG},
    {"503 not without asking for it",
     "CONNECT {\"verbose\":false,\"headers\":true}\r\nSUB in 5\r\nPUB a in 1\r\nx\r\nPING\r\n",
     HI "PONG\r\n"},
    {"503 does not count",
     C0 "SUB in.* 5\r\nUNSUB 5 1\r\nPUB a in.1 1\r\nx\r\nPUB a in.1 1\r\nx\r\nPUB in.3 1\r\nx\r\nPUB in.3 "
        "1\r\nx\r\nPING\r\n",
     HI S503("in.1", "5") S503("in.1", "5") "MSG in.3 5 1\r\nx\r\n" PONG},
    {"unsubscribe after a count since subscribe",
     C0 "SUB a 1\r\nPUB a 1\r\n1\r\nPUB a 1\r\n2\r\nUNSUB 1 3\r\nPUB a 1\r\n3\r\nPUB a 1\r\n4\r\nPING\r\n",
     HI "MSG a 1 1\r\n1\r\nMSG a 1 1\r\n2\r\nMSG a 1 1\r\n3\r\n" PONG},
    {"unsubscribe after a count that is reached",
     C0 "SUB a 1\r\nPUB a 1\r\n1\r\nPUB a 1\r\n2\r\nUNSUB 1 2\r\nPUB a 1\r\n3\r\nPING\r\n",
     HI "MSG a 1 1\r\n1\r\nMSG a 1 1\r\n2\r\n" PONG},
    {"unsubscribe in spite of a count",
     C0 "SUB a 1\r\nUNSUB 1 5\r\nPUB a 1\r\n1\r\nUNSUB 1\r\nPUB a 1\r\n3\r\nPING\r\n",
     HI "MSG a 1 1\r\n1\r\n" PONG},
    {"unsubscribe with a count that is no number", C0 "SUB a 1\r\nUNSUB 1 x\r\nPUB a 1\r\nx\r\nPING\r\n",
     HI PONG},
    {"an ended sid is free again",
     C0 "SUB a 1\r\nUNSUB 1 1\r\nPUB a 1\r\n1\r\nSUB b 1\r\nPUB b 1\r\n2\r\nPING\r\n",
     HI "MSG a 1 1\r\n1\r\nMSG b 1 1\r\n2\r\n" PONG},
    {"a sid in use keeps its subject", C0 "SUB a 1\r\nSUB b 1\r\nPUB b 1\r\n1\r\nPUB a 1\r\n2\r\nPING\r\n",
     HI "MSG a 1 1\r\n2\r\n" PONG},
    {"no echo", "CONNECT {\"verbose\":false,\"echo\":false}\r\nSUB a 1\r\nPUB a 1\r\n1\r\nPING\r\n",
     HI "PONG\r\n"},
    {"headers", C0 "SUB a 1\r\nHPUB a 12 14\r\nNATS/1.0\r\n\r\nhi\r\nPING\r\n",
     HI "HMSG a 1 12 14\r\nNATS/1.0\r\n\r\nhi\r\n" PONG},
    {"headers and reply", C0 "SUB a 1\r\nHPUB a r 12 12\r\nNATS/1.0\r\n\r\n\r\nPING\r\n",
     HI "HMSG a 1 r 12 12\r\nNATS/1.0\r\n\r\n\r\n" PONG},
    {"a message that only wants to be traced is not delivered",
     C0 "SUB a 1\r\nHPUB a 55 55\r\nNATS/1.0\r\nNats-Trace-Dest: t\r\nNats-Trace-Only: true\r\n\r\n"
        "\r\nHPUB a 32 33\r\nNATS/1.0\r\nNats-Trace-Only: 1\r\n\r\nx\r\nPING\r\n",
     HI "HMSG a 1 32 33\r\nNATS/1.0\r\nNats-Trace-Only: 1\r\n\r\nx\r\n" PONG},
    {"headers not enabled", Q0 "HPUB a 12 14\r\nNATS/1.0\r\n\r\nhi\r\nPING\r\n", HI "<EOF>"},
    {"queue group of the server", C0 "SUB a _sys_ 1\r\nPING\r\n",
     HI VIOLATION("Subscription to \"a\" using queue \"_sys_\"") PONG},
    {"reserved subjects",
     C0 "PUB a $JS.ACK.x 1\r\nx\r\nPUB a _R_.x 1\r\nx\r\nPUB a _GR_.x.y 1\r\nx\r\nPUB _GR_.a.b 1\r\nx\r\nPUB "
        "$NRG.x 1\r\nx\r\n"
        "PUB a $GR.x 1\r\nx\r\nPUB $GR.a 1\r\nx\r\nPUB a _R_. 1\r\nx\r\nPUB a $JS.ACK. 1\r\nx\r\nPUB _GR_. "
        "1\r\nx\r\nPING\r\n",
     HI VIOLATION("Publish with Reply of \"$JS.ACK.x\"") VIOLATION("Publish with Reply of \"_R_.x\"")
         VIOLATION("Publish with Reply of \"_GR_.x.y\"") VIOLATION("Publish to \"_GR_.a.b\"")
             VIOLATION("Publish to \"$NRG.x\"") VIOLATION("Publish with Reply of \"$GR.x\"")
                 VIOLATION("Publish to \"$GR.a\"") VIOLATION("Publish with Reply of \"_R_.\"") PONG},
    {"a violation has no +OK", V0 "PUB a $JS.ACK.x 1\r\nx\r\n",
     HI "+OK\r\n" VIOLATION("Publish with Reply of \"$JS.ACK.x\"")},
    {"payload too large", C0 "PUB a 1048577\r\n", HI ERR_("Maximum Payload Violation") "<EOF>"},
    {"payload longer than said", C0 "PUB a 1\r\nxyz\r\n", HI ERR_("Unknown Protocol Operation") "<EOF>"},
    {"SUB with one argument", C0 "SUB a\r\n", HI "<EOF>"},
    {"UNSUB without argument", C0 "UNSUB\r\n", HI ERR_("Unknown Protocol Operation") "<EOF>"},
    {"a literal that looks like a wildcard",
     C0 "SUB > 1\r\nSUB a.* 2\r\nPUB a.* 1\r\nx\r\nPUB a..b 1\r\nx\r\nPUB .a 1\r\nx\r\nPING\r\n",
     HI "MSG a.* 1 1\r\nx\r\nMSG a.* 2 1\r\nx\r\n" PONG},
    {"pedantic",
     "CONNECT {\"verbose\":false,\"pedantic\":true}\r\nSUB > 1\r\nPUB a.* 1\r\nx\r\nPUB a..b "
     "1\r\ny\r\nPING\r\n",
     HI ERR_("Invalid Publish Subject") "MSG a.* 1 1\r\nx\r\n" ERR_("Invalid Publish Subject") "PONG\r\n"},
    {"pong without ping", C0 "PONG\r\nPONG\r\nPING\r\n", HI PONG},
    {"one of a queue group", C0 "SUB a q 1\r\nSUB a q 2\r\nUNSUB 2\r\nPUB a 1\r\nx\r\nPING\r\n",
     HI "MSG a 1 1\r\nx\r\n" PONG},
    {"lines end with LF alone, verbs in any case",
     "connect {\"verbose\":false}\nsub a 1\npub a 2\nhi\r\nping\n", HI "MSG a 1 2\r\nhi\r\nPONG\r\n"},
    {"an empty payload", Q0 "SUB a 1\r\nPUB a r 0\r\n\r\nPING\r\n", HI "MSG a 1 r 0\r\n\r\nPONG\r\n"},
};
enum { TRANSCRIPTS = sizeof transcripts / sizeof transcripts[0] };

/* How the text is cut into sends. */
static void converse(const struct transcript *t, enum io_backend backend, size_t piece) {
    struct host h;
    struct client c;
    host_defaults(&h);
    h.backend = backend;
    h.limits.no_headers = false;
    host_open(&h);
    client_open(&c, &h, 7);
    pump(&h);
    for (size_t n = strlen(t->say), at = 0; at < n; at += piece) {
        client_send(&c, t->say + at, n - at < piece ? n - at : piece);
        conns_flush(&h.cs);
        io_tick(h.io, 0);
    }
    pump(&h);
    client_take(&c);
    if (strcmp(client_text(&c), t->hear) != 0) {
        fprintf(stderr, "%s, in pieces of %zu: heard\n%s\nnot\n%s\n", t->name, piece, c.out, t->hear);
        exit(1);
    }
    CHECK_EQ(h.cs.ingest.used, 0);
    client_close(&c);
    host_close(&h);
    CHECK_EQ(h.closed, 1);
    CHECK_EQ(h.closed_cid, 7);
}

static void each_transcript(enum io_backend backend, size_t piece) {
    for (size_t i = 0; i < TRANSCRIPTS; i++) converse(&transcripts[i], backend, piece);
}
static void whole_posix(void) { each_transcript(IO_POSIX, SIZE_MAX / 2); }
static void whole_auto(void) { each_transcript(IO_AUTO, SIZE_MAX / 2); }
static void bytewise(void) { each_transcript(IO_POSIX, 1); }
static void by_sevens(void) { each_transcript(IO_POSIX, 7); }

CHECK_MAIN(CASE(whole_posix), CASE(whole_auto), CASE(bytewise), CASE(by_sevens))
