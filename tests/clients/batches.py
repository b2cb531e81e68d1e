#!/usr/bin/env python3
"""Batches, atomic and fast, said to two servers: what is recorded from nats-server is what the unit test of batches expects.

    batches.py record HOST:PORT      writes tests/unit/data/js/batches.json
    batches.py check HOST:PORT       says it all to another server and compares; exits 1 on a difference

The server must have JetStream on and no streams. Answers are compared byte for byte.
"""
import json, os, sys

from differential import Client

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'unit', 'data', 'js', 'batches.json')
STEPS = []


def step(what, *messages):
    """Messages (subject, reply, headers, payload) sent one after the other; then answers are gathered."""
    STEPS.append({'what': what, 'send': [list(m) for m in messages]})


def msg(subject, reply, hdr=(), data=''):
    text = 'NATS/1.0\r\n' + ''.join('%s: %s\r\n' % kv for kv in hdr) + '\r\n' if hdr else ''
    return subject, '_INBOX.' + reply if reply else '', text, data


def create(name, **cfg):
    body = json.dumps(dict(name=name, subjects=[name.lower() + '.>'], **cfg))
    step('create', msg('$JS.API.STREAM.CREATE.' + name, '', (), body))


def update(name, **cfg):
    body = json.dumps(dict(name=name, subjects=[name.lower() + '.>'], **cfg))
    step('update', msg('$JS.API.STREAM.UPDATE.' + name, '', (), body))


def part(n, batch, seq, *more, s='a.%d', reply=None, data='x'):
    hdr = [('Nats-Batch-Id', batch), ('Nats-Batch-Sequence', seq)] + list(more)
    return msg(s % n if '%' in s else s, 'r%d' % n if reply is None else reply, hdr, data)


def two(what, first, second=(), s=('a.n1', 'a.n2')):
    """A batch of two with these extra headers, the second commits."""
    step(what, part(1, 'z', 1, *first, s=s[0]), part(2, 'z', 2, *second, COMMIT, s=s[1]))


def fast(what, batch, flow, gap, seqs, hdrs={}, s='f.a'):
    """Messages of a fast batch, each a step; a sequence may be (sequence, operation)."""
    for q in seqs:
        seq, op = q if isinstance(q, tuple) else (q, 0 if q == 1 else 1)
        step('%s %s' % (what, q), msg(s, '%s.%s.%s.%s.%s.$FI' % (batch, flow, gap, seq, op), hdrs.get(seq, ()), 'x'))


COMMIT, EOB = ('Nats-Batch-Commit', '1'), ('Nats-Batch-Commit', 'eob')
LAST, SUBJECT, OF = 'Nats-Expected-Last-Sequence', 'Nats-Expected-Last-Subject-Sequence', 'Nats-Expected-Last-Subject-Sequence-Subject'
END, PING, TTL, KNOWN = 3, 4, [('Nats-TTL', '5s')], [('Nats-Msg-Id', 'known')]


def atomic():
    create('OFF')
    create('A', allow_atomic=True, allow_rollup_hdrs=True)
    create('AF', allow_atomic=True, allow_batched=True, storage='memory')
    step('disabled', part(1, 'x', 1, s='off.a'))
    for seq in [], ['-1'], [''], ['1x']:
        step('sequence %s' % seq, msg('a.a', 'r1', [('Nats-Batch-Id', 'x')] + [('Nats-Batch-Sequence', q) for q in seq]))
    step('long id', part(1, 'x' * 65, 1))
    step('empty id is none', part(1, '', 1))
    for seq, more in (2, ()), (1002, ()), (1001, (EOB,)), (0, (EOB,)), (1, (EOB,)):
        step('begins with %d' % seq, part(1, 'x', seq, *more))
    for c in 'yes', '', '11', 'EOB':
        step('commit "%s"' % c, part(1, 'x', 1, ('Nats-Batch-Commit', c)))
    step('one', part(1, 'x', 1, COMMIT))
    step('three', part(1, 'x', 1), part(2, 'x', 2), part(3, 'x', 3, COMMIT))
    step('silent, ended', part(1, 'y', 1, reply=''), part(2, 'y', 2, reply=''), part(3, 'y', 3, EOB))
    step('gap', part(1, 'z', 1), part(3, 'z', 3))
    step('after the gap', part(2, 'z', 2, COMMIT))
    step('1 twice', part(1, 'z', 1), part(1, 'z', 1))
    step('bad commit', part(1, 'z', 1), part(2, 'z', 2, ('Nats-Batch-Commit', 'x')))
    step('after it', part(2, 'z', 2, COMMIT))
    step('mixed', part(1, 'm1', 1), part(2, 'm2', 1), part(3, 'm1', 2), part(4, 'm2', 2, COMMIT), part(5, 'm1', 3, COMMIT))
    two('last id', [('Nats-Expected-Last-Msg-Id', 'q')])
    two('id twice', [('Nats-Msg-Id', 'q')], [('Nats-Msg-Id', 'q')])
    step('known', msg('a.a', 'r1', KNOWN))
    two('known id', [('Nats-Msg-Id', 'p')], KNOWN)
    two('p is free', [('Nats-Msg-Id', 'p')])
    step('p is taken', msg('a.a', 'r1', [('Nats-Msg-Id', 'p')]))
    n = 15
    two('wrong last', [(LAST, 3)])
    two('last of the second', [(LAST, n)], [(LAST, n + 1)])
    two('last of the second, wrong', [(LAST, n)], [(LAST, n)])
    two('subject twice', [(SUBJECT, 0)], [(SUBJECT, 0)], ('a.q', 'a.q'))
    two('wrong subject', [(SUBJECT, 7)], [], ('a.q', 'a.r'))
    two('subject written', [], [(SUBJECT, 0), (OF, 'a.q')], ('a.q', 'a.r'))
    two('subject without sequence', [(OF, 'a.q')])
    two('expected stream', [('Nats-Expected-Stream', 'B')])
    two('ttl', TTL)
    two('incr', [('Nats-Incr', '5')])
    two('rollup sub late', [], [('Nats-Rollup', 'sub')], ('a.q', 'a.q'))
    two('rollup all late', [], [('Nats-Rollup', 'all')])
    two('rollup some', [], [('Nats-Rollup', 'some')])
    two('rollup sub', [], [('Nats-Rollup', 'sub')])
    two('rollup all', [('Nats-Rollup', 'all')])
    two('the first fault, header', TTL, [('Nats-Rollup', 'sub')], ('a.q', 'a.q'))
    two('the first fault, stream', [(LAST, 3)], TTL)
    step('level 99', part(1, 'z', 1, ('Nats-Required-Api-Level', '99')))
    step('after it', part(2, 'z', 2, COMMIT))
    two('level 1', [('Nats-Required-Api-Level', '1')], [('Nats-Required-Api-Level', '1')])
    create('LIM', allow_atomic=True, discard='new', max_msgs=3, max_msgs_per_subject=2, discard_new_per_subject=True, max_msg_size=200)
    step('per subject', *[part(i, 'z', i, *[COMMIT] * (i == 3), s='lim.a') for i in (1, 2, 3)])
    step('messages', *[part(i, 'z', i, *[COMMIT] * (i == 4), s='lim.%d') for i in (1, 2, 3, 4)])
    step('size', part(1, 'z', 1, s='lim.a', data='x' * 200))
    step('size inside', part(1, 'z', 1, s='lim.a'), part(2, 'z', 2, s='lim.a', data='x' * 200), part(3, 'z', 2, COMMIT, s='lim.a'))
    create('NOACK', allow_atomic=True, no_ack=True)
    step('nobody is told', part(1, 'z', 1, s='noack.a'), part(2, 'z', 2, COMMIT, s='noack.a'))
    step('in memory', part(1, 'z', 1, s='af.a'), part(2, 'z', 2, s='af.a'), part(3, 'z', 3, EOB, s='af.a'))
    update('OFF', allow_atomic=True)
    step('enabled', part(1, 'x', 1, s='off.a'))
    update('OFF')
    update('OFF', allow_atomic=True)
    step('forgotten', part(2, 'x', 2, COMMIT, s='off.a'))


def fasts():
    create('F', allow_batched=True)
    create('G', allow_batched=True, discard='new', max_msgs=4)
    fast('disabled', 'x', 10, 'ok', [1], s='a.a')
    for bad in 'x.10.ok.1.9', 'x.10.ok.0.0', 'x.10.maybe.1.0', 'x.10.ok.2.0', 'x.10.ok.1.1', 'x.10.ok.1.3', 'ok.1.0', 'x.10.ok.y.0', 'x.10.ok.18446744073709551615.1':
        step('bad ' + bad, msg('f.a', bad + '.$FI'))
    fast('long id', 'x' * 65, 10, 'ok', [1])
    fast('unknown', 'u', 10, 'ok', [2, (1, PING)])
    fast('one', 'one', 10, 'fail', [(1, 2)])
    fast('committed', 'c', 2, 'fail', [1, 2, 3, 4, 5, (6, 2)])
    fast('ended', 'd', 4, 'fail', [1, 2, 3, 4, 5, 6, 7, 8, 9, (10, END)])
    fast('gap fails', 'e', 3, 'fail', [1, 2, 4, 5])
    fast('gap ok', 'g', 3, 'ok', [1, 2, 4, 5, 7, (8, 2)])
    fast('backwards', 'h', 3, 'ok', [1, 2, 3, 2, 4])
    fast('ping', 'p', 3, 'ok', [1, 2, (2, PING), (5, PING), 6, (7, END)])
    fast('ping, gap fails', 'pf', 3, 'fail', [1, 2, (2, PING), (5, PING), 6, (7, END)])
    step('known', msg('f.a', 'k', KNOWN))
    for at in 1, 2, 3:
        for gap in 'fail', 'ok':
            fast('fault at %d' % at, 't%d%s' % (at, gap), 3, gap, [1, 2, (3, 2)], {at: TTL})
            fast('duplicate at %d' % at, 'd%d%s' % (at, gap), 2, gap, [1, 2, (3, 2)], {at: KNOWN})
    for gap in 'fail', 'ok':
        fast('only a duplicate', 'od' + gap, 3, gap, [(1, 2)], {1: KNOWN})
        fast('full', 'full' + gap, 3, gap, [1, 2, 3, 4, 5, (6, END)], s='g.a')
    for flow in 0, 'z', 99999:
        fast('flow', 'fl%s' % flow, flow, 'fail', [1, 2, (3, END)])
    fast('level', 'l', 3, 'fail', [1, 2], {1: [('Nats-Required-Api-Level', '99')]})
    fast('first of two', 'v', 3, 'fail', [1, 2])
    fast('second of two', 'w', 3, 'fail', [1, 2, 3])
    fast('first of two', 'v', 3, 'fail', [(3, END)])
    fast('second alone', 'w', 3, 'fail', [4, 5, 6, (7, 2)])
    fast('in memory', 'm', 3, 'fail', [1, 2, (3, 2)], s='af.a')


def say(client, s):
    for subject, reply, hdr, data in s['send']:
        api = subject.startswith('$JS.API.')
        to, head = (client.inbox + '.api' if api else reply), hdr.encode()
        body = head + data.encode()
        verb = 'HPUB %s %s %d %d\r\n' % (subject, to, len(head), len(body)) if head else 'PUB %s %s %d\r\n' % (subject, to, len(body))
        client.send(verb.encode() + body + b'\r\n')
    got = []
    while (m := client.message(2 if s['what'] in ('create', 'update') and not got else 0.25)) is not None:
        got.append([m['subject'], m['data']])
    return [] if s['what'] in ('create', 'update') else got


def main():
    mode, address = sys.argv[1:3]
    client = Client(address)
    client.send(b'SUB _INBOX.> 2\r\n')
    client.inbox = '_OTHER'
    client.send(b'SUB _OTHER.* 3\r\n')
    atomic()
    fasts()
    for s in STEPS:
        s['expect'] = say(client, s)
    if mode == 'record':
        with open(DATA, 'w') as f:
            f.write('[\n' + ',\n'.join(json.dumps(s, separators=(',', ':')) for s in STEPS) + '\n]\n')
        return 0
    recorded, bad = json.load(open(DATA)), 0
    for a, b in zip(recorded, STEPS):
        if a['expect'] != b['expect']:
            bad += 1
            print('%s:\n  wants %s\n  got   %s' % (a['what'], a['expect'], b['expect']))
    print('%d passed, %d failed' % (len(STEPS) - bad, bad))
    return bad > 0 or len(recorded) != len(STEPS)


sys.exit(main())
