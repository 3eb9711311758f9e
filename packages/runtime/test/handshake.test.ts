import { randomBytes } from 'node:crypto'
import t from 'tap'
import { MirabelleError } from '@mirabelle/messages'
import { AccepterHandshake, OpenerHandshake, PROTOCOL_VERSION } from '../src/net/handshake.ts'
import { deriveKeys, proof, proves } from '../src/net/handshake-keys.ts'
import { pack, unpack } from '../src/wire/body.ts'
import type { Hello, Party } from '../src/ports/network.ts'

const key = randomBytes(32)
const none = new Uint8Array(0)
const hex = (bytes: number): string => randomBytes(bytes).toString('hex')
const accepter: Party = { clusterId: 'c', kind: 'instance', dbid: 2, content: 0, name: 'h1' }
const opener: Hello = {
  clusterId: 'c',
  kind: 'agent',
  dbid: 0,
  content: -1,
  name: 'h0',
  purpose: 'control',
  epoch: 4,
}

const open = (clusterKey = key, binding: Uint8Array = none, hello = opener): OpenerHandshake =>
  new OpenerHandshake({ keys: deriveKeys(clusterKey), hex, binding }, hello, 5000)
const accept = (clusterKey = key, binding: Uint8Array = none): AccepterHandshake =>
  new AccepterHandshake({ keys: deriveKeys(clusterKey), hex, binding })

const sent = (step: object): Buffer => (step as { send: Buffer }).send

/** Runs it to the opener's proof; returns what the accepter makes of it. */
function prove(from: OpenerHandshake, to: AccepterHandshake): ReturnType<AccepterHandshake['receive']> {
  const challenge = sent(to.receive(from.hello()))
  return to.receive(sent(from.receive(challenge)))
}

t.test('both sides prove themselves and learn who the other is', async (t) => {
  const [a, b] = [open(), accept()]
  t.same(prove(a, b), { proven: { hello: opener, silenceTimeoutMs: 5000 } })
  t.same(a.receive(b.welcome(accepter)), { peer: accepter })
})

t.test('an opener with another key is refused, and told no more than that', async (t) => {
  const [a, b] = [open(randomBytes(32)), accept()]
  t.throws(() => prove(a, b), { code: 'handshake.failed', message: /could not prove/ })
  const told = b.refuse(new MirabelleError('epoch.stale', 'a secret'))
  t.notMatch(told.toString('latin1'), /secret|stale/)
  t.throws(() => a.receive(told), { code: 'handshake.failed' })
})

t.test('an accepter with another key cannot welcome anyone', async (t) => {
  const a = open()
  const impostor = accept(randomBytes(32))
  const challenge = sent(impostor.receive(a.hello()))
  a.receive(challenge)
  const forged = pack({ welcome: pack(accepter), proof: randomBytes(32) })
  t.throws(() => a.receive(forged), { code: 'handshake.failed', message: /the peer could not prove/ })
})

t.test('a proof does not fit another conversation: replay is refused', async (t) => {
  const [a, b] = [open(), accept()]
  const hello = a.hello()
  const proven = sent(a.receive(sent(b.receive(hello))))
  b.receive(proven)
  const again = accept()
  again.receive(hello)
  t.throws(() => again.receive(proven), { code: 'handshake.failed' })
})

t.test('a proof cannot be reflected: the two sides prove differently', async (t) => {
  const keys = deriveKeys(key)
  t.notOk(keys.opener.equals(keys.accepter))
  t.notOk(keys.opener.equals(keys.tls))
  const a = open()
  const nonce = randomBytes(32)
  const mine = sent(a.receive(pack({ v: PROTOCOL_VERSION, nonce })))
  const echoed = (unpack(mine) as { proof: Uint8Array }).proof
  t.throws(() => a.receive(pack({ welcome: pack(accepter), proof: echoed })), { code: 'handshake.failed' })
})

t.test('a changed hello, challenge or welcome breaks the proof', async (t) => {
  const a = open()
  const b = accept()
  const evil = unpack(a.hello()) as { hello: Hello }
  const challenge = sent(b.receive(pack({ ...evil, hello: { ...evil.hello, epoch: 99 } })))
  const mine = sent(a.receive(challenge))
  t.throws(() => b.receive(mine), { code: 'handshake.failed' })

  const [c, d] = [open(), accept()]
  prove(c, d)
  const welcome = unpack(d.welcome(accepter)) as { welcome: Uint8Array; proof: Uint8Array }
  const changed = pack({ ...welcome, welcome: pack({ ...accepter, dbid: 3 }) })
  t.throws(() => c.receive(changed), { code: 'handshake.failed' })
})

t.test('the proof is bound to the encrypted session below', async (t) => {
  t.throws(() => prove(open(key, randomBytes(32)), accept(key, randomBytes(32))), {
    code: 'handshake.failed',
  })
  const binding = randomBytes(32)
  t.match(prove(open(key, binding), accept(key, binding)), { proven: { hello: { epoch: 4 } } })
})

t.test('a foreign cluster is told only to one who has proven the key', async (t) => {
  const foreign = { ...opener, clusterId: 'other' }
  const [a, b] = [open(key, none, foreign), accept()]
  prove(a, b)
  let error: MirabelleError | undefined
  try {
    b.welcome(accepter)
  } catch (thrown) {
    error = thrown as MirabelleError
  }
  t.equal(error?.code, 'cluster.foreign')
  t.throws(() => a.receive(b.refuse(error as MirabelleError)), {
    code: 'cluster.foreign',
    message: /cluster c/,
  })
  const forged = pack({ refused: pack({ code: 'cluster.foreign', message: 'x' }), proof: randomBytes(32) })
  const [c, d] = [open(), accept()]
  prove(c, d)
  t.throws(() => c.receive(forged), { code: 'handshake.failed' }, 'without proof it is just a failure')
})

t.test('another protocol version is named on both sides', async (t) => {
  const other = PROTOCOL_VERSION + 1
  const hello = unpack(open().hello()) as Record<string, unknown>
  const b = accept()
  let told: Buffer | undefined
  try {
    b.receive(pack({ ...hello, v: other }))
  } catch (error) {
    t.match(error, {
      code: 'handshake.failed',
      message: new RegExp(`protocol version ${other}, this side ${PROTOCOL_VERSION}`),
    })
    told = b.refuse(error as MirabelleError)
  }
  t.throws(() => open().receive(told as Buffer), {
    code: 'handshake.failed',
    message: new RegExp(`protocol version ${other}`),
  })
  t.throws(() => open().receive(pack({ v: other, nonce: randomBytes(32) })), {
    message: new RegExp(`version ${other}`),
  })
})

t.test('hellos and challenges of the wrong shape are refused', async (t) => {
  const right = unpack(open().hello()) as { hello: Hello }
  const bad: unknown[] = [
    1,
    [],
    {},
    { ...right, nonce: randomBytes(16) },
    { ...right, nonce: undefined },
    { ...right, silence: -1 },
    { ...right, hello: null },
    ...Object.keys(opener).map((name) => ({ ...right, hello: { ...right.hello, [name]: {} } })),
    { ...right, hello: { ...right.hello, name: 'x'.repeat(256) } },
    { ...right, hello: { ...right.hello, purpose: 'toString' } },
    { ...right, hello: { ...right.hello, dbid: -1 } },
    { ...right, hello: { ...right.hello, content: -2 } },
    { ...right, hello: { ...right.hello, epoch: -1 } },
    { ...right, hello: { ...right.hello, dbid: 1.5 } },
  ]
  for (const value of bad) t.throws(() => accept().receive(pack(value)), { code: 'handshake.failed' })
  t.throws(() => open().receive(pack({ v: PROTOCOL_VERSION, nonce: 'x' })), { code: 'handshake.failed' })
})

t.test('proofs of different lists of parts differ, and comparing takes equal lengths only', async (t) => {
  const one = proof(key, [Buffer.from('ab'), Buffer.from('c')])
  t.notOk(one.equals(proof(key, [Buffer.from('a'), Buffer.from('bc')])))
  t.ok(proves(Buffer.from(one), one))
  for (const wrong of [undefined, 'x', Buffer.alloc(0), one.subarray(1), Buffer.alloc(32)])
    t.notOk(proves(wrong, one))
  t.throws(() => deriveKeys(randomBytes(8)), RangeError)
})
