#!/usr/bin/env python3
"""Says the same things to two JetStream servers and compares what they answer.

    differential.py record HOST:PORT      writes tests/unit/data/js/*.json from a reference server (nats-server)
    differential.py check HOST:PORT [-v]  says it all to another server and compares; exits 1 on a difference

A third word, recorded, retention or pause, limits both to that file.

Needs nothing but Python. The server must have JetStream on and no streams. What differs from run to run (times, inboxes,
generated names, identities) is replaced before comparing; everything else must be equal, field by field.
The last line is "N passed, N failed".
"""
import json, os, re, socket, sys, time

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'unit', 'data', 'js')
API = '$JS.API.'


class Client:
    """As much of the client protocol as this needs."""

    def __init__(self, address):
        host, port = address.rsplit(':', 1)
        self.sock = socket.create_connection((host, int(port)))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buf = b''
        self.line(5)
        self.send(b'CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true,"protocol":1}\r\nPING\r\n')
        while self.line(5) != 'PONG':
            pass
        self.inbox = '_INBOX.' + os.urandom(8).hex()
        self.count = 0
        self.send(('SUB %s.* 1\r\n' % self.inbox).encode())

    def send(self, data):
        self.sock.sendall(data)

    def fill(self, deadline):
        self.sock.settimeout(max(deadline - time.monotonic(), 0.001))
        data = self.sock.recv(1 << 16)
        if not data:
            raise EOFError('the server closed the connection')
        self.buf += data

    def line(self, timeout):
        deadline = time.monotonic() + timeout
        while b'\r\n' not in self.buf:
            self.fill(deadline)
        line, self.buf = self.buf.split(b'\r\n', 1)
        return line.decode()

    def take(self, n):
        while len(self.buf) < n + 2:
            self.fill(time.monotonic() + 5)
        data, self.buf = self.buf[:n], self.buf[n + 2:]
        return data

    def message(self, timeout):
        """The next message as a dict, or None when there is none in time."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                line = self.line(max(deadline - time.monotonic(), 0.001))
            except (socket.timeout, TimeoutError):
                return None
            words = line.split()
            if words[0] == 'PING':
                self.send(b'PONG\r\n')
            elif words[0] in ('MSG', 'HMSG'):
                numbers = 1 if words[0] == 'MSG' else 2
                total, head = int(words[-1]), int(words[-2]) if numbers == 2 else 0
                body = self.take(total)
                reply = words[3] if len(words) == 4 + numbers else ''
                return {'subject': words[1], 'reply': reply, 'hdr': body[:head].decode(), 'data': body[head:].decode()}
            elif words[0] == '-ERR':
                raise RuntimeError(line)

    def ask(self, subject, body, hdr, replies, timeout):
        self.count += 1
        inbox = '%s.%d' % (self.inbox, self.count)
        body, hdr = body.encode(), hdr.encode()
        if hdr:
            self.send(('HPUB %s %s %d %d\r\n' % (subject, inbox, len(hdr), len(hdr) + len(body))).encode() + hdr + body + b'\r\n')
        else:
            self.send(('PUB %s %s %d\r\n' % (subject, inbox, len(body))).encode() + body + b'\r\n')
        got = []
        while len(got) < replies:
            m = self.message(timeout)
            if m is None:
                break
            if m['subject'] == inbox:
                m['subject'] = 'INBOX'
            elif m['subject'].startswith(self.inbox):
                continue  # late, for an earlier question
            got.append(m)
        return got


TIMES = {'ts', 'created', 'time', 'first_ts', 'last_ts', 'last_active', 'active'}


def normal(v, key=''):
    if isinstance(v, dict):
        return {k: normal(x, k) for k, x in v.items()}
    if isinstance(v, list):
        return [normal(x) for x in v]
    if key in TIMES and isinstance(v, str):
        return 'ZERO' if v.startswith('0001-') else 'TIME'
    if key == 'pause_remaining':
        return 'LEFT'
    if key in ('_nats.ver', '_nats.level', 'leader'):
        return 'SERVER'
    if key == 'name' and isinstance(v, str) and re.fullmatch(r'[0-9A-Za-z]{8}', v) and not v.islower():
        return 'RANDOM'
    return v


def normal_message(m):
    out = {'subject': m['subject'], 'reply': re.sub(r'^(\$JS\.ACK\..*)\.\d{19}\.(\d+)$', r'\1.TIME.\2', m['reply'])}
    out['hdr'] = re.sub(r'(Nats-Time-Stamp: )\S+', r'\1TIME', m['hdr'])
    try:
        data = json.loads(m['data'])
        out['json'] = normal(data) if isinstance(data, dict) else data
    except ValueError:
        out['data'] = m['data']
    return out


def blank_account(step, got):
    """Account limits and counters are the operator's and the run's."""
    for m in got:
        if isinstance(m.get('json'), dict) and 'api' in m['json']:
            m['json']['api'] = m['json']['limits'] = m['json']['storage'] = 'ANY'
    return got


def headers(**fields):
    return 'NATS/1.0\r\n' + ''.join('%s: %s\r\n' % (k.replace('_', '-'), v) for k, v in fields.items()) + '\r\n'


STEPS = []


def step(subject, body='', hdr='', n=1, wait=0.4):
    body = body if isinstance(body, str) else json.dumps(body)
    STEPS.append({'subject': subject, 'body': body, 'hdr': hdr, 'n': n, 'wait': wait})


def api(subject, body='', hdr=''):
    step(API + subject, body, hdr, 1, 2)


def publish(subject, body='hi', **fields):
    step(subject, body, headers(**fields) if fields else '', 1, 2)


def pull(path, body='', n=1, wait=0.4):
    step(API + 'CONSUMER.MSG.NEXT.' + path, body, '', n, wait)


def direct(rest, body='', n=1):
    step(API + 'DIRECT.GET.' + rest, body, '', n, 2)


def consumer(name, config, stream='T', **more):
    api('CONSUMER.CREATE.%s.%s' % (stream, name), dict({'stream_name': stream, 'config': config}, **more))


def streams():
    api('INFO')
    api('STREAM.NAMES')
    api('STREAM.LIST')
    full = {'name': 'A', 'subjects': ['a.>'], 'description': 'x<y & "z" \u00e9', 'metadata': {'z': '1', 'A': '2'}}
    api('STREAM.CREATE.A', full)
    api('STREAM.CREATE.A', full)
    api('STREAM.CREATE.A', {'name': 'A', 'subjects': ['a.*']})
    api('STREAM.CREATE.B', {'name': 'B', 'subjects': ['a.*']})
    api('STREAM.CREATE.B', {'name': 'C', 'subjects': ['a.*']})
    for bad in ({'foo': 1}, {'retention': 'bogus'}, {'storage': 5}, {'max_msgs': '5'}, {'max_age': 5}, {'max_age': -1},
                {'subjects': ['b..c']}, {'subjects': ['>']}, {'subjects': ['$JS.API.>']}, {'subjects': ['$SYS.x']},
                {'subjects': ['b', 'b']}, {'subjects': ['b.*', 'b.c']}, {'num_replicas': 3}, {'num_replicas': 7},
                {'num_replicas': -1}, {'duplicate_window': -5}, {'duplicate_window': 5}, {'sealed': True},
                {'mirror_direct': True}, {'deny_purge': True, 'allow_rollup_hdrs': True}, {'discard_new_per_subject': True},
                {'discard_new_per_subject': True, 'discard': 'new'}, {'max_age': 1000000000, 'duplicate_window': 2000000000},
                {'description': 'd' * 5000}, {'placement': {'preferred': 'x'}}, {'pedantic': True, 'max_msgs': -5},
                {'max_msg_size': 1 << 40}, {'metadata': {'a': 1}}, {'subjects': 'x'}, {'allow_direct': 'yes'}):
        api('STREAM.CREATE.B', dict({'name': 'B'}, **bad))
    for body in ('{"name":"B"', 'garbage', '', '[]', 'null', '{"name":"B",}', '{"name":"B"} x', '"B"', '7', '{"name":5}'):
        api('STREAM.CREATE.B', body)
    api('STREAM.CREATE.B/x', {'name': 'B/x'})
    api('STREAM.CREATE.' + 'n' * 300, {'name': 'n' * 300})
    api('STREAM.CREATE.B', {'name': 'B', 'storage': 'memory', 'max_msgs': 10, 'max_bytes': 100000, 'max_age': 3600000000000,
                            'max_msg_size': 1000, 'max_msgs_per_subject': 5, 'discard': 'new', 'max_consumers': 2,
                            'allow_direct': True, 'deny_delete': True, 'allow_rollup_hdrs': True, 'no_ack': False,
                            'consumer_limits': {'inactive_threshold': 5000000000, 'max_ack_pending': 50},
                            'placement': {'cluster': 'x', 'tags': ['t']}})
    api('STREAM.CREATE.SMALL', {'name': 'SMALL', 'max_age': 1000000000, 'first_seq': 100, 'placement': {}})
    api('STREAM.INFO.A')
    api('STREAM.INFO.ZZ')
    api('STREAM.INFO.A', {'subjects_filter': '>'})
    api('STREAM.INFO.A', {'foo': 1})
    api('STREAM.NAMES')
    api('STREAM.NAMES', {'subject': 'a.1'})
    api('STREAM.NAMES', {'subject': 'nothing'})
    api('STREAM.NAMES', {'offset': 1})
    api('STREAM.NAMES', {'offset': 10})
    api('STREAM.LIST')
    api('STREAM.LIST', {'offset': 1, 'subject': '>'})
    api('STREAM.LIST', {'offset': 1, 'foo': 2})
    api('STREAM.DELETE.SMALL')
    api('INFO', '', headers(Nats_Required_Api_Level='9'))
    api('INFO', 'ignored')


def publishing():
    publish('a.1')
    publish('a.1', 'hi', Nats_Msg_Id='1')
    publish('a.1', 'hi', Nats_Msg_Id='1')
    publish('a.2', 'hi', Nats_Expected_Stream='X')
    publish('a.2', 'hi', Nats_Expected_Stream='A')
    publish('a.2', 'hi', Nats_Expected_Last_Sequence='7')
    publish('a.2', 'hi', Nats_Expected_Last_Sequence='3')
    publish('a.2', 'hi', Nats_Expected_Last_Sequence='zz')
    publish('a.2', 'hi', Nats_Expected_Last_Subject_Sequence='7')
    publish('a.2', 'hi', Nats_Expected_Last_Subject_Sequence='4')
    publish('a.9', 'hi', Nats_Expected_Last_Subject_Sequence='0')
    publish('a.2', 'hi', Nats_Expected_Last_Subject_Sequence='6', Nats_Expected_Last_Subject_Sequence_Subject='a.9')
    publish('a.2', 'hi', Nats_Expected_Last_Subject_Sequence_Subject='a.1')
    publish('a.2', 'hi', Nats_Expected_Last_Msg_Id='7')
    publish('a.2', 'hi', Nats_Rollup='sub')
    publish('a.2', 'hi', Nats_TTL='1s')
    publish('a.2', 'hi', Nats_Incr='+1')
    publish('B', 'x' * 2000)
    publish('B', 'one', Nats_Rollup='bad')
    for i in range(5):
        publish('B', 'm%d' % i)
    publish('B', 'roll', Nats_Rollup='sub')
    publish('B', 'more')
    api('STREAM.INFO.A')
    api('STREAM.INFO.B')
    api('STREAM.INFO.A', {'deleted_details': True, 'subjects_filter': '>'})
    api('STREAM.INFO.A', {'subjects_filter': 'a.1'})


def messages():
    for body in ({'seq': 2}, {'seq': 200}, '', '{"foo":1}', {'last_by_subj': 'a.1'}, {'next_by_subj': 'a.2', 'seq': 2},
                 {'next_by_subj': 'a.>'}, {'seq': 1, 'last_by_subj': 'a.1'}, {'seq': 2, 'no_hdr': True}, {'batch': 2, 'seq': 1},
                 {'start_time': '2020-01-01T00:00:00Z'}, {'last_by_subj': 'a.>'}, {'last_by_subj': 'none'}):
        api('STREAM.MSG.GET.A', body)
    api('STREAM.MSG.GET.ZZ', {'seq': 1})
    for body in ({'seq': 200}, {'seq': 2}, {'seq': 2, 'no_erase': True}, '', {'foo': 1}):
        api('STREAM.MSG.DELETE.A', body)
    api('STREAM.MSG.DELETE.B', {'seq': 1})
    api('STREAM.INFO.A', {'deleted_details': True})
    for body in ({'keep': 1, 'seq': 2}, {'filter': 'a.2', 'keep': 1}, {'seq': 3}, {'foo': 1}, ''):
        api('STREAM.PURGE.A', body)
    api('STREAM.PURGE.ZZ')
    api('STREAM.INFO.A')


def updates():
    api('STREAM.UPDATE.A', {'name': 'A', 'subjects': ['a.>', 'b'], 'max_msgs': 10})
    publish('b')
    api('STREAM.UPDATE.A', {'name': 'A', 'subjects': ['b']})
    publish('a.1')
    publish('b')
    api('STREAM.UPDATE.A', {'name': 'A', 'subjects': ['b'], 'storage': 'memory'})
    api('STREAM.UPDATE.A', {'name': 'A', 'subjects': ['B']})
    api('STREAM.UPDATE.A', {'name': 'X'})
    api('STREAM.UPDATE.Q', {'name': 'Q'})
    api('STREAM.UPDATE.B', {'name': 'B', 'storage': 'memory', 'max_msgs': 5})
    api('STREAM.UPDATE.A', {'name': 'A', 'subjects': ['b'], 'sealed': True})
    publish('b')
    api('STREAM.PURGE.A')
    api('STREAM.MSG.DELETE.A', {'seq': 8})
    api('STREAM.UPDATE.A', {'name': 'A', 'subjects': ['b']})
    api('STREAM.DELETE.A', '{"a":1}')
    api('STREAM.DELETE.ZZ')
    api('STREAM.DELETE.A', '{}')
    api('STREAM.DELETE.B')
    api('STREAM.NAMES')
    step(API + 'BOGUS', wait=0.2)
    step(API + 'STREAM.BOGUS.A', wait=0.2)


def consumers():
    api('STREAM.CREATE.T', {'name': 'T', 'subjects': ['t.>'], 'storage': 'memory'})
    consumer('c1', {'durable_name': 'c1', 'ack_policy': 'explicit'})
    consumer('c1', {'durable_name': 'c1', 'ack_policy': 'explicit'}, action='create')
    consumer('c1', {'durable_name': 'c1', 'ack_policy': 'explicit', 'max_deliver': 3}, action='create')
    consumer('c1', {'durable_name': 'c1', 'ack_policy': 'none'})
    consumer('c1', {'durable_name': 'c1', 'ack_policy': 'explicit', 'max_waiting': 3})
    consumer('c9', {'durable_name': 'c9'}, action='update')
    consumer('c9', {'durable_name': 'c9'}, stream='NO')
    consumer('c9', {'durable_name': 'other'})
    for bad in ({'max_deliver': 'x'}, {'ack_policy': 'nonex'}, {'opt_start_time': 'nonex'}, {'backoff': ['a']}, {'foo': 1},
                {'deliver_policy': 'by_start_sequence'}, {'deliver_policy': 'by_start_time'}, {'opt_start_seq': 5},
                {'deliver_policy': 'last_per_subject'}, {'deliver_policy': 'new', 'opt_start_time': '2024-01-01T00:00:00Z'},
                {'filter_subject': 'a', 'filter_subjects': ['b']}, {'filter_subjects': ['']}, {'filter_subject': 'a..b'},
                {'filter_subjects': ['t.1', 't.>']}, {'backoff': [1, 2, 3], 'max_deliver': 2}, {'backoff': [-1]},
                {'ack_wait': -1}, {'idle_heartbeat': 1000000000}, {'flow_control': True}, {'rate_limit_bps': 5},
                {'num_replicas': 3}, {'num_replicas': -1}, {'max_expires': 5}, {'sample_freq': 'x%'}, {'direct': True},
                {'ack_policy': 'flow_control'}, {'description': 'd' * 5000}, {'priority_groups': ['A']},
                {'priority_timeout': 5}, {'deliver_subject': 'a.*'}, {'deliver_subject': 't.1'}, {'name': 'different'},
                {'deliver_subject': 'a', 'max_waiting': 5}, {'deliver_subject': 'a', 'idle_heartbeat': 5}):
        consumer('c9', dict({'durable_name': 'c9'}, **bad))
    consumer('c9', {'durable_name': 'c9'}, action='zz')
    consumer('c9', {'durable_name': 'c9', 'max_ack_pending': -5}, pedantic=True)
    consumer('c9.t.1', {'filter_subject': 't.2'})
    consumer('c9.t.1', {'filter_subjects': ['t.1', 't.2']})
    consumer('c9.t.*', {'filter_subject': 't.*', 'deliver_policy': 'by_start_time', 'opt_start_time': '2024-01-01T00:00:00.5Z',
                        'backoff': [1000000000, 2000000000], 'ack_policy': 'explicit', 'max_deliver': 5,
                        'metadata': {'q': 'w'}, 'inactive_threshold': 60000000000, 'description': 'd'})
    api('CONSUMER.CREATE.T', {'stream_name': 'T', 'config': {'durable_name': 'zz'}})
    api('CONSUMER.DURABLE.CREATE.T.d1', {'stream_name': 'T', 'config': {'durable_name': 'd1', 'ack_policy': 'explicit',
                                                                        'headers_only': True}})
    api('CONSUMER.DURABLE.CREATE.T.d1', {'stream_name': 'T', 'config': {'ack_policy': 'explicit'}})
    api('CONSUMER.DURABLE.CREATE.T.d1', {'stream_name': 'T', 'config': {'durable_name': 'd2'}})
    api('CONSUMER.CREATE.T.p2', '')
    api('CONSUMER.CREATE.T.p2', '{"config":')
    api('CONSUMER.INFO.T.c1')
    api('CONSUMER.INFO.T.zz')
    api('CONSUMER.INFO.Z.zz')
    api('CONSUMER.INFO.T.c1', '{"a":1}')
    api('CONSUMER.NAMES.T', {'offset': 1})
    api('CONSUMER.NAMES.ZZ')
    api('CONSUMER.LIST.T', {'offset': 1})
    api('CONSUMER.LIST.ZZ')
    api('CONSUMER.CREATE.T', {'stream_name': 'T', 'config': {'filter_subjects': ['t.1', 't.2'], 'ack_policy': 'all'}})
    api('CONSUMER.DELETE.T.zz')
    api('CONSUMER.DELETE.ZZ.zz')


def pulls():
    for i in range(5):
        publish('t.1', 'm%d' % i)
    pull('T.c1')
    pull('T.c1', '2', 2)
    pull('T.c1', {'batch': 5, 'no_wait': True}, 3)
    pull('T.c1', {'batch': 5, 'no_wait': True}, 1)
    pull('T.c1', {'batch': 1, 'expires': 100000000}, 1, 2)
    pull('T.c1', {'batch': 1, 'expires': 100000000, 'idle_heartbeat': 80000000})
    pull('T.c1', {'batch': 1, 'expires': 250000000, 'idle_heartbeat': 100000000}, 3, 2)
    pull('T.c1', '{"batch":1,"expires":')
    pull('T.c1', {'expires': 'a'})
    pull('T.c1', {'batch': 1, 'min_pending': 2})
    pull('T.c1', {'priority': 10})
    pull('T.c1', {'id': 'x'})
    pull('T.d1', {'batch': 1, 'no_wait': True})
    pull('T.zz')
    pull('ZZ.zz')
    api('CONSUMER.INFO.T.c1')
    consumer('b1', {'durable_name': 'b1', 'ack_policy': 'explicit', 'max_batch': 10, 'max_expires': 1000000000,
                    'max_bytes': 1000})
    pull('T.b1', {'batch': 3, 'max_bytes': 10, 'expires': 300000000})
    pull('T.b1', {'batch': 3, 'max_bytes': 100, 'expires': 300000000}, 3)
    pull('T.b1', {'batch': 1, 'max_bytes': 100, 'expires': 300000000}, 2)
    pull('T.b1', {'batch': 30})
    pull('T.b1', {'expires': 3000000000})
    pull('T.b1', {'max_bytes': 3000})
    consumer('n1', {'durable_name': 'n1', 'ack_policy': 'none', 'deliver_policy': 'last'})
    pull('T.n1', {'batch': 5, 'no_wait': True}, 2)
    consumer('f1.t.2', {'filter_subject': 't.2', 'ack_policy': 'explicit'})
    pull('T.f1', {'batch': 5, 'no_wait': True})
    publish('t.2', 'filtered')
    pull('T.f1', {'batch': 5, 'no_wait': True}, 2)
    consumer('l1', {'durable_name': 'l1', 'ack_policy': 'explicit', 'deliver_policy': 'last_per_subject',
                    'filter_subject': 't.>'})
    pull('T.l1', {'batch': 5, 'no_wait': True}, 3)
    consumer('s1', {'durable_name': 's1', 'ack_policy': 'explicit', 'deliver_policy': 'by_start_sequence',
                    'opt_start_seq': 6, 'max_ack_pending': 1, 'max_waiting': 1})
    pull('T.s1', {'batch': 5, 'expires': 100000000}, 2, 2)
    api('CONSUMER.INFO.T.s1')


def acks():
    step('$JS.ACK.T.c1.1.1.1.1600000000000000000.4', '+ACK')
    step('$JS.ACK.T.c1.1.1.1.1600000000000000000.4', '')
    step('$JS.ACK.T.c1.1.2.2.1600000000000000000.4', '-NAK')
    pull('T.c1', {'batch': 1, 'no_wait': True})
    step('$JS.ACK.T.c1.1.3.3.1600000000000000000.4', '+WPI')
    step('$JS.ACK.T.c1.1.3.3.1600000000000000000.4', '+TERM reason')
    step('$JS.ACK.T.c1.1.3.3.1600000000000000000.4', 'garbage')
    step('$JS.ACK.T.c1.1.5.5.1600000000000000000.4', '-NAK {"delay": 150000000}')
    pull('T.c1', {'batch': 1, 'no_wait': True})
    pull('T.c1', {'batch': 1, 'expires': 2000000000}, 1, 3)
    step('$JS.ACK.T.c1.2.5.7.1600000000000000000.0', '+NXT {"no_wait":true}', n=2)
    step('$JS.ACK.T.zz.1.3.3.1600000000000000000.4', '+ACK')
    step('$JS.ACK.T.c1.1.3', '+ACK')
    api('CONSUMER.INFO.T.c1')
    consumer('w1', {'durable_name': 'w1', 'ack_policy': 'explicit', 'ack_wait': 100000000, 'max_deliver': 2})
    pull('T.w1', {'batch': 1, 'expires': 1000000000}, 1, 2)
    pull('T.w1', {'batch': 1, 'expires': 1000000000}, 1, 2)


def directs():
    direct('T', {'seq': 1})
    api('STREAM.UPDATE.T', {'name': 'T', 'subjects': ['t.>'], 'storage': 'memory', 'allow_direct': True})
    publish('t.3', 'with headers', Foo='bar', X_Y='z')
    for body in ({'seq': 1}, {'seq': 7}, {'seq': 100}, '', '{}', 'x', {'next_by_subj': 't.>', 'seq': 2}, {'last_by_subj': 't.1'},
                 {'last_by_subj': 't.1', 'seq': 3}, {'seq': 1, 'no_hdr': True}, {'start_time': '2020-01-01T00:00:00Z'}):
        direct('T', body)
    direct('T.t.1')
    direct('T.t.*')
    direct('T.t.9')
    direct('T.t.1', {'seq': 1})
    direct('NOPE', {'seq': 1})
    direct('T', {'batch': 3, 'seq': 1}, 4)
    direct('T', {'batch': 3, 'seq': 1, 'no_hdr': True}, 4)
    direct('T', {'batch': 20, 'seq': 4}, 5)
    direct('T', {'batch': 3, 'seq': 100})
    direct('T', {'batch': 2, 'next_by_subj': 't.1'}, 3)
    direct('T', {'batch': 2, 'next_by_subj': 't.*', 'seq': 3}, 3)
    direct('T', {'batch': 5, 'start_time': '2020-01-01T00:00:00Z', 'max_bytes': 10}, 5)
    direct('T', {'batch': 1, 'seq': 2}, 2)
    direct('T', {'multi_last': ['t.>']}, 4)
    direct('T', {'multi_last': ['t.1', 't.3', 't.1']}, 3)
    direct('T', {'multi_last': ['t.*'], 'batch': 1}, 2)
    direct('T', {'multi_last': ['t.*'], 'up_to_seq': 4}, 2)
    direct('T', {'multi_last': ['t.*'], 'seq': 6}, 3)
    direct('T', {'multi_last': ['t.*'], 'up_to_time': '2020-01-01T00:00:00Z'})
    direct('T', {'multi_last': ['none.>']})
    direct('T', {'multi_last': ['t.*'], 'up_to_seq': 4, 'up_to_time': '2020-01-01T00:00:00Z'})
    direct('T', {'multi_last': ['t.*'], 'next_by_subj': 't.1'})
    api('CONSUMER.DELETE.T.c1')
    api('CONSUMER.DELETE.T.c1')
    api('STREAM.DELETE.T')
    api('STREAM.INFO.T')
    api('STREAM.NAMES')


def push():
    """Push consumers: the steps' own inboxes stand for the deliver subject's clients."""
    api('STREAM.CREATE.P', {'name': 'P', 'subjects': ['p.>'], 'storage': 'memory'})
    for i in range(3):
        publish('p.1', 'm%d' % i)
    base = {'deliver_subject': 'push.none', 'flow_control': True, 'idle_heartbeat': 5000000000, 'ack_policy': 'none',
            'max_deliver': 1, 'mem_storage': True, 'num_replicas': 1}
    consumer('o1', base, stream='P')
    consumer('o2', dict(base, deliver_policy='by_start_sequence', opt_start_seq=2), stream='P')
    consumer('q1', {'durable_name': 'q1', 'deliver_subject': 'push.q', 'deliver_group': 'g', 'ack_policy': 'explicit'}, stream='P')
    consumer('q1', {'durable_name': 'q1', 'deliver_subject': 'push.r', 'deliver_group': 'g', 'ack_policy': 'explicit'}, stream='P')
    consumer('q1', {'durable_name': 'q1', 'ack_policy': 'explicit'}, stream='P')
    consumer('h1', {'deliver_subject': 'push.h', 'flow_control': True}, stream='P')
    consumer('h1', {'deliver_subject': 'push.h', 'max_ack_pending': 5}, stream='P')
    pull('P.q1')
    api('CONSUMER.INFO.P.q1')
    api('CONSUMER.NAMES.P')
    api('STREAM.DELETE.P')


def explicit(name, stream, **more):
    consumer(name, dict({'durable_name': name, 'ack_policy': 'explicit'}, **more), stream=stream)


def ack(stream, name, delivered, sseq, cseq, body='+ACK'):
    step('$JS.ACK.%s.%s.%d.%d.%d.1600000000000000000.0' % (stream, name, delivered, sseq, cseq), body)


def info(stream):
    api('STREAM.INFO.' + stream, {'deleted_details': True})


def queues():
    """Who may consume from a work queue, and what an answer does to its messages."""
    api('STREAM.CREATE.W', {'name': 'W', 'subjects': ['w.>'], 'retention': 'workqueue'})
    for bad in ({'ack_policy': 'none'}, {'ack_policy': 'all'}, {'deliver_subject': 'x', 'ack_policy': 'none'},
                {'deliver_subject': 'x', 'ack_policy': 'all'}, {'ack_policy': 'explicit', 'deliver_policy': 'new'},
                {'ack_policy': 'explicit', 'deliver_policy': 'last'}, {}, {'ack_policy': 'none', 'deliver_policy': 'new'},
                {'ack_policy': 'explicit', 'deliver_policy': 'by_start_sequence', 'opt_start_seq': 3},
                {'ack_policy': 'none', 'rate_limit_bps': 3}, {'ack_policy': 'none', 'backoff': [-1]},
                {'ack_policy': 'explicit', 'deliver_policy': 'last_per_subject', 'filter_subject': 'w.>'}):
        consumer('c', dict({'durable_name': 'c'}, **bad), stream='W')
    explicit('a', 'W', filter_subject='w.1')
    explicit('b', 'W')
    explicit('b', 'W', filter_subject='w.*')
    explicit('b', 'W', filter_subjects=['w.1', 'w.2'])
    explicit('b', 'W', filter_subjects=['w.3', 'w.2'])
    explicit('c', 'W', filter_subject='w.2')
    explicit('c', 'W', filter_subject='w.4', deliver_policy='new')
    explicit('a', 'W', filter_subject='w.2')
    explicit('a', 'W', filter_subject='w.5')
    explicit('a', 'W')
    explicit('b', 'W', filter_subjects=['w.3', 'w.2'])
    explicit('a', 'W', filter_subject='w.>')
    explicit('a', 'W', filter_subject='w.5', max_deliver=4)
    consumer('a', {'durable_name': 'a', 'filter_subject': 'w.5', 'ack_policy': 'all'}, stream='W')
    consumer('a', {'durable_name': 'a', 'filter_subject': 'w.6', 'ack_policy': 'explicit'}, stream='W', action='create')
    api('STREAM.UPDATE.W', {'name': 'W', 'subjects': ['w.>'], 'retention': 'limits'})
    api('STREAM.UPDATE.W', {'name': 'W', 'subjects': ['w.>'], 'retention': 'interest'})
    api('STREAM.DELETE.W')
    api('STREAM.CREATE.X', {'name': 'X', 'subjects': ['w.>'], 'retention': 'workqueue', 'max_consumers': 1})
    explicit('a', 'X', filter_subject='w.*.x')
    consumer('b', {'durable_name': 'b', 'ack_policy': 'all'}, stream='X')
    api('STREAM.DELETE.X')
    api('STREAM.CREATE.Y', {'name': 'Y', 'subjects': ['w.>'], 'retention': 'workqueue'})
    explicit('a', 'Y', filter_subject='w.*.x')
    explicit('b', 'Y', filter_subject='w.y.*')
    api('CONSUMER.DELETE.Y.a')
    explicit('a', 'Y')
    for i in range(6):
        publish('w.%d' % (i % 3), 'm%d' % i)
    pull('Y.a', {'batch': 3, 'no_wait': True}, 3)
    ack('Y', 'a', 1, 2, 2)
    info('Y')
    ack('Y', 'a', 1, 1, 1, '+TERM')
    info('Y')
    ack('Y', 'a', 1, 3, 3, '-NAK')
    info('Y')
    api('CONSUMER.INFO.Y.a')
    pull('Y.a', {'batch': 1, 'no_wait': True})
    api('CONSUMER.DELETE.Y.a')
    info('Y')
    explicit('n', 'Y')
    pull('Y.n', {'batch': 4, 'no_wait': True}, 4)
    api('STREAM.MSG.DELETE.Y', {'seq': 5})
    for cseq, sseq in enumerate((3, 4, 5, 6), 1):
        ack('Y', 'n', 1, sseq, cseq)
    info('Y')
    api('CONSUMER.INFO.Y.n')
    publish('w.1')
    info('Y')
    api('STREAM.PURGE.Y')
    info('Y')
    api('CONSUMER.INFO.Y.n')
    api('STREAM.DELETE.Y')


def exhausted():
    for name, retention in (('W', 'workqueue'), ('I', 'interest')):
        api('STREAM.CREATE.' + name, {'name': name, 'subjects': [name], 'retention': retention, 'storage': 'memory'})
        explicit('a', name, max_deliver=1, ack_wait=100000000)
        if name == 'I':
            explicit('b', name)
        for i in range(2):
            publish(name, 'm%d' % i)
        pull(name + '.a', {'batch': 1, 'no_wait': True})
        pull(name + '.a', {'batch': 2, 'expires': 300000000}, 2, 1)
        info(name)
        if name == 'I':
            pull('I.b', {'batch': 2, 'no_wait': True}, 2)
            ack('I', 'b', 1, 1, 1)
            info('I')
        ack(name, 'a', 1, 1, 1)
        info(name)
        api('STREAM.DELETE.' + name)


def interest(**more):
    """In memory: nats-server may find messages of a file stream that had the same name a moment ago."""
    api('STREAM.DELETE.I')
    api('STREAM.CREATE.I', dict({'name': 'I', 'subjects': ['i.>'], 'retention': 'interest', 'storage': 'memory'}, **more))


def interests():
    interest()
    publish('i.1')
    info('I')
    publish('i.1', 'hi', Nats_Msg_Id='x')
    publish('i.1', 'hi', Nats_Msg_Id='x')
    publish('i.1', 'hi', Nats_Expected_Last_Sequence='1')
    publish('i.1', 'hi', Nats_Expected_Last_Msg_Id='x')
    explicit('a', 'I', filter_subject='i.1')
    publish('i.2')
    publish('i.1')
    publish('i.2')
    info('I')
    explicit('b', 'I', filter_subject='i.*')
    publish('i.1')
    publish('i.2')
    publish('i.1')
    pull('I.a', {'batch': 9, 'no_wait': True}, 4)
    pull('I.b', {'batch': 9, 'no_wait': True}, 5)
    for who, sseq, cseq, verb in (('b', 7, 2, '+ACK'), ('b', 8, 3, '+ACK'), ('a', 7, 2, '+ACK'), ('b', 9, 4, '+TERM')):
        ack('I', who, 1, sseq, cseq, verb)
        info('I')
    api('CONSUMER.DELETE.I.a')
    info('I')
    interest()
    for name in 'abc':
        explicit(name, 'I')
    for i in range(6):
        publish('i.1', 'm%d' % i)
    pull('I.a', {'batch': 6, 'no_wait': True}, 6)
    pull('I.b', {'batch': 3, 'no_wait': True}, 3)
    for who, last in (('a', 4), ('b', 2)):
        for seq in range(1, last + 1):
            ack('I', who, 1, seq, seq)
    for name in 'cba':
        info('I')
        api('CONSUMER.DELETE.I.' + name)
    info('I')
    interest()
    consumer('all', {'durable_name': 'all', 'ack_policy': 'all'}, stream='I')
    consumer('none', {'durable_name': 'none', 'ack_policy': 'none'}, stream='I')
    for i in range(5):
        publish('i.1', 'm%d' % i)
    pull('I.all', {'batch': 4, 'no_wait': True}, 4)
    ack('I', 'all', 1, 3, 3)
    for n in (2, 2, 1):
        pull('I.none', {'batch': n, 'no_wait': True}, n)
        info('I')
    ack('I', 'all', 1, 4, 4)
    api('CONSUMER.INFO.I.none')
    api('CONSUMER.INFO.I.all')
    api('CONSUMER.DELETE.I.all')
    info('I')
    interest()
    explicit('a', 'I')
    for i in range(4):
        publish('i.1', 'm%d' % i)
    explicit('n', 'I', deliver_policy='new')
    explicit('l', 'I', deliver_policy='last_per_subject', filter_subject='i.>')
    publish('i.1', 'm4')
    pull('I.a', {'batch': 5, 'no_wait': True}, 5)
    for seq in range(1, 6):
        ack('I', 'a', 1, seq, seq)
    info('I')
    pull('I.n', {'batch': 5, 'no_wait': True}, 2)
    ack('I', 'n', 1, 5, 1)
    info('I')
    pull('I.l', {'batch': 5, 'no_wait': True}, 3)
    ack('I', 'l', 1, 4, 1)
    ack('I', 'l', 1, 5, 2)
    info('I')


def interest_and_limits():
    interest(max_msgs=2, discard='new')
    for i in range(3):
        publish('i.1')
    explicit('a', 'I', filter_subject='i.1')
    for i in range(3):
        publish('i.1')
    publish('i.2')
    info('I')
    pull('I.a', {'batch': 1, 'no_wait': True})
    ack('I', 'a', 1, 4, 1)
    publish('i.1')
    publish('i.1')
    info('I')
    interest(max_msgs=2, allow_rollup_hdrs=True, max_msg_size=100)
    publish('i.1', 'r', Nats_Rollup='sub')
    publish('i.1', 'x' * 200)
    explicit('a', 'I', filter_subject='i.1')
    for i in range(4):
        publish('i.1')
    pull('I.a', {'batch': 2, 'no_wait': True}, 2)
    publish('i.1')
    info('I')
    api('CONSUMER.INFO.I.a')
    publish('i.2', 'r', Nats_Rollup='all')
    info('I')
    publish('i.1', 'r', Nats_Rollup='sub')
    info('I')
    interest()
    explicit('a', 'I')
    for i in range(6):
        publish('i.%d' % (i % 2))
    pull('I.a', {'batch': 4, 'no_wait': True}, 4)
    ack('I', 'a', 1, 2, 2)
    api('STREAM.MSG.DELETE.I', {'seq': 1})
    info('I')
    api('STREAM.PURGE.I', {'filter': 'i.1'})
    info('I')
    api('STREAM.PURGE.I')
    info('I')


def interest_changes():
    api('STREAM.DELETE.I')
    api('STREAM.CREATE.I', {'name': 'I', 'subjects': ['i.>'], 'storage': 'memory'})
    explicit('a', 'I', filter_subject='i.1')
    consumer('b', {'durable_name': 'b', 'ack_policy': 'all', 'filter_subject': 'i.1'}, stream='I')
    consumer('n', {'durable_name': 'n', 'ack_policy': 'none', 'filter_subject': 'i.1'}, stream='I')
    for i in range(9):
        publish('i.%d' % (i % 3 == 2))
    for i in range(4):
        publish('i.1')
    pull('I.n', {'batch': 7, 'no_wait': True}, 7)
    pull('I.a', {'batch': 6, 'no_wait': True}, 6)
    for sseq, cseq in ((3, 1), (6, 2), (10, 4)):
        ack('I', 'a', 1, sseq, cseq)
    pull('I.b', {'batch': 5, 'no_wait': True}, 5)
    ack('I', 'b', 1, 11, 5)
    api('STREAM.UPDATE.I', {'name': 'I', 'subjects': ['i.>'], 'storage': 'memory', 'retention': 'workqueue'})
    api('STREAM.UPDATE.I', {'name': 'I', 'subjects': ['i.>'], 'storage': 'memory', 'retention': 'interest'})
    info('I')
    publish('i.0')
    info('I')
    api('STREAM.UPDATE.I', {'name': 'I', 'subjects': ['i.>'], 'storage': 'memory', 'retention': 'limits'})
    publish('i.0')
    info('I')
    for name in 'abn':
        api('CONSUMER.DELETE.I.' + name)
    info('I')
    api('STREAM.UPDATE.I', {'name': 'I', 'subjects': ['i.>'], 'storage': 'memory', 'retention': 'interest'})
    info('I')
    interest()
    explicit('a', 'I', filter_subjects=['i.1', 'i.2'])
    explicit('b', 'I', filter_subjects=['i.2'])
    for i in range(9):
        publish('i.%d' % (i % 3))
    info('I')
    explicit('a', 'I', filter_subjects=['i.2'])
    info('I')
    explicit('a', 'I', filter_subjects=['i.0'])
    info('I')
    consumer('e', {'ack_policy': 'explicit', 'name': 'e', 'inactive_threshold': 300000000}, stream='I')
    publish('i.7')
    info('I')
    pull('I.a', {'batch': 1, 'expires': 1200000000}, 1, 2)
    info('I')
    api('STREAM.DELETE.I')


def pauses():
    future = '2100-01-01T00:00:00Z'
    api('STREAM.CREATE.U', {'name': 'U', 'subjects': ['u.>'], 'storage': 'memory'})
    explicit('a', 'U')
    for i in range(3):
        publish('u.1', 'm%d' % i)
    api('CONSUMER.PAUSE.U.a', {'pause_until': future})
    pull('U.a', {'batch': 1, 'no_wait': True})
    pull('U.a', {'batch': 1, 'expires': 200000000}, 1, 1)
    api('CONSUMER.INFO.U.a')
    api('CONSUMER.PAUSE.U.a', {'pause_until': '2020-01-01T00:00:00Z'})
    api('CONSUMER.INFO.U.a')
    pull('U.a', {'batch': 1, 'no_wait': True})
    for body in ('', {}, '{"pause_until":"x"}', {'foo': 1}, {'pause_until': 5}, 'x'):
        api('CONSUMER.PAUSE.U.a', body)
    api('CONSUMER.INFO.U.a')
    api('CONSUMER.PAUSE.U.zz', {'pause_until': future})
    api('CONSUMER.PAUSE.ZZ.zz', {'pause_until': future})
    explicit('p', 'U', pause_until=future)
    api('CONSUMER.INFO.U.p')
    explicit('p', 'U')
    explicit('p', 'U', max_deliver=7)
    explicit('p', 'U', pause_until='2020-01-01T00:00:00Z')
    api('CONSUMER.INFO.U.p')
    pull('U.p', {'batch': 1, 'no_wait': True})
    api('CONSUMER.PAUSE.U.p')
    pull('U.p', {'batch': 1, 'no_wait': True})
    explicit('o', 'U', pause_until='2020-01-01T00:00:00Z')
    api('CONSUMER.INFO.U.o')
    api('STREAM.DELETE.U')


def run(client, name, parts, record, verbose):
    STEPS.clear()
    for part in parts:
        part()
    path = os.path.join(DATA, name + '.json')
    recorded = [] if record else json.load(open(path))
    if not record and [s['subject'] for s in recorded] != [s['subject'] for s in STEPS]:
        sys.exit('the steps have changed: record them again')
    failed = 0
    for i, s in enumerate(STEPS):
        got = [normal_message(m) for m in client.ask(s['subject'], s['body'], s['hdr'], s['n'], s['wait'])]
        got = blank_account(s, got)
        if record:
            recorded.append({'subject': s['subject'], 'body': s['body'], 'hdr': s['hdr'], 'expect': got})
        elif got != recorded[i]['expect']:
            failed += 1
            print('%s %s %r\n  expected %s\n  got      %s' % (s['subject'][:80], s['body'][:200], s['hdr'],
                                                           json.dumps(recorded[i]['expect']), json.dumps(got)))
        elif verbose:
            print('ok', s['subject'][:80])
    if record:
        with open(path, 'w') as f:
            f.write('[\n' + ',\n'.join(json.dumps(r) for r in recorded) + '\n]\n')
    return len(STEPS), failed


PARTS = {
    'recorded': (streams, publishing, messages, updates, consumers, pulls, acks, directs, push),
    'retention': (queues, exhausted, interests, interest_and_limits, interest_changes),
    'pause': (pauses,),
}


def main():
    words = [a for a in sys.argv[1:] if a != '-v']
    if len(words) < 2 or words[0] not in ('record', 'check') or any(w not in PARTS for w in words[2:]):
        sys.exit(__doc__)
    client = Client(words[1])
    steps = failed = 0
    for name in words[2:] or PARTS:
        n, bad = run(client, name, PARTS[name], words[0] == 'record', '-v' in sys.argv)
        steps, failed = steps + n, failed + bad
    print('%d passed, %d failed' % (steps - failed, failed))
    sys.exit(1 if failed else 0)


if __name__ == '__main__':
    main()
