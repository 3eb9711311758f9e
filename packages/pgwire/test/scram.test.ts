import { createHash, createHmac, pbkdf2Sync } from 'node:crypto'
import t from 'tap'
import { makeScramVerifier, mockVerifier, parseScramVerifier, ScramExchange } from '@mirabelle/pgwire'
import { saslprep } from '../src/auth/saslprep.ts'

// The worked example of RFC 7677, section 3.
const salt = Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64')
const verifierText = makeScramVerifier('pencil', { salt })
const serverNonce = '%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0'
const clientFirst = 'n,,n=user,r=rOprNGfwEbeRWgbNEkqO'
const serverFirst = `r=rOprNGfwEbeRWgbNEkqO${serverNonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096`
const withoutProof = `c=biws,r=rOprNGfwEbeRWgbNEkqO${serverNonce}`
const clientFinal = `${withoutProof},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=`
const serverFinal = 'v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4='

const exchange = (mock = false): ScramExchange =>
  new ScramExchange(parseScramVerifier(verifierText)!, mock, serverNonce)

t.test('the exchange of RFC 7677 succeeds with its exact bytes', async (t) => {
  const server = exchange()
  t.equal(server.begin(clientFirst), serverFirst)
  t.same(server.finish(clientFinal), { ok: true, serverFinal })
})

t.test('a wrong proof is wrong, and so is a right one against a mock', async (t) => {
  const server = exchange()
  server.begin(clientFirst)
  const proof = Buffer.from('dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=', 'base64')
  for (let index = 0; index < 32; index += 1) {
    const bad = Buffer.from(proof)
    bad[index]! ^= 1
    t.same(server.finish(`${withoutProof},p=${bad.toString('base64')}`), { ok: false })
  }
  const mock = exchange(true)
  mock.begin(clientFirst)
  t.same(mock.finish(clientFinal), { ok: false })
})

t.test('malformed messages are protocol violations', async (t) => {
  const first: [string, string][] = [
    ['no header', 'n=user,r=abc'],
    ['channel binding that was not offered', 'p=tls-server-end-point,,n=,r=abc'],
    ['channel binding without a name', 'p,,n=,r=abc'],
    ['an authorization identity', 'n,a=root,n=,r=abc'],
    ['a mandatory extension', 'n,,m=x,n=,r=abc'],
    ['no nonce', 'n,,n=user'],
    ['an empty nonce', 'n,,n=user,r='],
    ['nothing', ''],
  ]
  for (const [name, text] of first)
    t.throws(() => exchange().begin(text), { code: '08P01', message: /SCRAM/ }, name)
  const final: [string, string][] = [
    ['another nonce', clientFinal.replace('rOpr', 'rOpx')],
    ['only the client nonce', clientFinal.replace(serverNonce, '')],
    ['another channel binding', clientFinal.replace('biws', 'eSws')],
    ['a short proof', `${withoutProof},p=AAAA`],
    ['no proof', withoutProof],
    ['nothing', ''],
  ]
  for (const [name, text] of final) {
    const server = exchange()
    server.begin(clientFirst)
    t.throws(() => server.finish(text), { code: '08P01', message: /SCRAM/ }, name)
  }
})

t.test('a client that could do channel binding but was not offered it gets in', async (t) => {
  const server = exchange()
  const bare = 'n=,r=abc'
  const first = server.begin(`y,,${bare}`)
  const final = `c=${Buffer.from('y,,').toString('base64')},r=abc${serverNonce}`
  const salted = pbkdf2Sync('pencil', salt, 4096, 32, 'sha256')
  const clientKey = createHmac('sha256', salted).update('Client Key').digest()
  const storedKey = createHash('sha256').update(clientKey).digest()
  const signature = createHmac('sha256', storedKey).update(`${bare},${first},${final}`).digest()
  const proof = clientKey.map((byte, index) => byte ^ signature[index]!)
  t.equal(server.finish(`${final},p=${Buffer.from(proof).toString('base64')}`).ok, true)
})

t.test('verifiers are read as PostgreSQL writes them, and nothing else is', async (t) => {
  t.match(verifierText, /^SCRAM-SHA-256\$4096:W22ZaJ0SNY7soEsUEjb6gQ==\$[\w+/]{43}=:[\w+/]{43}=$/)
  t.equal(parseScramVerifier(verifierText)?.iterations, 4096)
  t.equal(parseScramVerifier(verifierText.replace('4096', '0')), undefined, 'no iterations at all')
  for (const text of [
    '',
    'md5aabbccddeeff00112233445566778899',
    verifierText.slice(1),
    `${verifierText}x`,
    'secret',
  ]) {
    t.equal(parseScramVerifier(text), undefined)
  }
  t.not(makeScramVerifier('a'), makeScramVerifier('a'), 'each has its own salt')
})

t.test('an unknown user always sees the same salt, and each name another one', async (t) => {
  const secret = Buffer.alloc(32, 7)
  t.same(mockVerifier('eve', secret), mockVerifier('eve', secret))
  for (const other of ['bob', 'eva', 'ev'])
    t.notSame(mockVerifier('eve', secret).salt, mockVerifier(other, secret).salt, other)
  t.notSame(mockVerifier('eve', secret).salt, mockVerifier('eve', Buffer.alloc(32, 1)).salt)
  t.equal(mockVerifier('eve', secret).salt.length, 16)
})

t.test('passwords are prepared as SASLprep says, and used as they are where it forbids them', async (t) => {
  const cases: [string, string, string][] = [
    ['plain ASCII stays', 'pass word', 'pass word'],
    ['a soft hyphen goes', 'I\u00adX', 'IX'],
    ['compatibility characters are composed', '\u00aa\u2168', 'aIX'],
    ['a wide space becomes a space', 'a\u3000b', 'a b'],
    ['a control character forbids preparation', 'a\u00ad\u0007', 'a\u00ad\u0007'],
    ['mixed directions forbid preparation', '\u0627\u00ad1a', '\u0627\u00ad1a'],
  ]
  for (const [name, given, prepared] of cases) t.equal(saslprep(given), prepared, name)
})
