/** What strangers and careless hands do: floods of connections and of log lines, keys that others can read, certificates that do not count. */
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as tlsConnect } from 'node:tls'
import t, { type Test } from 'tap'
import {
  boundedLogger,
  readPrivateFile,
  STRANGER_LINES_AT_ONCE,
  STRANGER_LINES_PER_SECOND,
  UnprovenConnections,
} from '../src/index.ts'
import { realNetwork } from '../src/net/real-network.ts'
import { PARTS } from '../src/net/unproven-connections.ts'
import type { CertificateFiles, Hello, Network, Party } from '../src/index.ts'
import { recordingLogger } from './suites/recording-logger.ts'

const self: Party = { clusterId: 'c', kind: 'instance', dbid: 2, content: 0, name: 'h1' }
const hello: Hello = { ...self, dbid: 1, content: -1, name: 'h0', purpose: 'control', epoch: 1 }
const options = { timeoutMs: 5000, silenceTimeoutMs: 0 }

/** Time and timers by hand. */
function handClock(): {
  readonly setTimer: (ms: number, fn: () => void) => { clear(): void }
  monotonic(): number
  pass(ms: number): void
} {
  let now = 0
  let timers: { readonly at: number; readonly fn: () => void }[] = []
  return {
    monotonic: () => now,
    setTimer(ms, fn) {
      const timer = { at: now + ms, fn }
      timers.push(timer)
      return { clear: () => void (timers = timers.filter((one) => one !== timer)) }
    },
    pass(ms) {
      now += ms
      const due = timers.filter(({ at }) => at <= now)
      timers = timers.filter(({ at }) => at > now)
      for (const { fn } of due) fn()
    },
  }
}

async function temporaryFolder(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'mirabelle-hostile-'))
  t.teardown(() => rm(folder, { recursive: true }))
  return folder
}

t.test('warnings that strangers cause are bounded, and what is left out is told', async (t) => {
  const clock = handClock()
  const { log, lines } = recordingLogger()
  const bounded = boundedLogger(log, clock)
  const child = bounded.child({ actor: 'x' })
  for (let i = 0; i < 10_000; i++) (i % 2 === 0 ? bounded : child).warn({ i }, 'refused')
  t.equal(lines.length, STRANGER_LINES_AT_ONCE)
  bounded.error({}, 'a mistake of ours')
  t.equal(lines.length, STRANGER_LINES_AT_ONCE + 1, 'errors are not held back')
  clock.pass(10_000)
  t.match(lines.at(-1), {
    level: 'warn',
    fields: { leftOut: 10_000 - STRANGER_LINES_AT_ONCE },
    sentence: /were left out/,
  })
  lines.length = 0
  for (let second = 0; second < 3_600; second++) {
    for (let i = 0; i < 50; i++) bounded.warn({}, 'refused')
    clock.pass(1_000)
  }
  const most = STRANGER_LINES_AT_ONCE + 3_600 * (STRANGER_LINES_PER_SECOND + 0.1) + 1
  t.ok(lines.length <= most, `an hour of 50 a second: ${lines.length} lines`)
  const counted = lines.reduce(
    (sum, { fields, sentence }) => sum + (sentence === 'refused' ? 1 : Number(fields['leftOut'])),
    0,
  )
  t.ok(counted >= 3_590 * 50, 'none is lost without being counted')
})

t.test('too many unproven connections: a flood loses its own, the others stay', async (t) => {
  const clock = handClock()
  const unproven = new UnprovenConnections({ clock, most: 8, timeoutMs: () => 2_000 })
  const dropped: string[] = []
  const open = (name: string, from: string): object => {
    const key = { name }
    unproven.add(key, from, (late) => dropped.push(`${name}${late ? ' late' : ''}`))
    return key
  }
  const quiet = open('quiet', '10.0.0.1')
  for (let i = 0; i < 1_000; i++) open(`flood${i}`, '10.9.9.9')
  open('second', '10.0.0.2')
  t.equal(unproven.size, 8)
  t.equal(dropped.length, 994)
  t.same(dropped.slice(0, 3), ['flood0', 'flood1', 'flood2'], 'the oldest of the address that has the most')
  unproven.done(quiet)
  unproven.done(quiet)
  t.equal(unproven.size, 7)
  dropped.length = 0
  for (let part = 0; part < PARTS; part++) {
    t.equal(dropped.length, 0, 'not before all parts have passed')
    clock.pass(2_000 / PARTS)
  }
  t.equal(dropped.length, 7)
  t.ok(dropped.includes('second late'))
  t.equal(unproven.size, 0)
})

t.test('a key that others may read is refused by name, with what to do', async (t) => {
  const folder = await temporaryFolder(t)
  const path = join(folder, 'cluster.key')
  t.throws(() => readPrivateFile(path), {
    code: 'key.unsafe',
    message: /cluster\.key cannot be read: ENOENT/,
  })
  await writeFile(path, 'secret')
  for (const mode of [0o644, 0o640, 0o604, 0o660, 0o666, 0o610, 0o601, 0o777]) {
    await chmod(path, mode)
    t.throws(
      () => readPrivateFile(path),
      { code: 'key.unsafe', message: /chmod 600 .*cluster\.key/ },
      mode.toString(8),
    )
  }
  for (const mode of [0o600, 0o400, 0o700]) {
    await chmod(path, mode)
    t.equal(readPrivateFile(path).toString(), 'secret')
  }
})

/** A listener and a network, encrypted. */
async function serve(
  t: Test,
  clusterKey: Uint8Array,
  certificates?: CertificateFiles,
): Promise<{ port: number; network: Network }> {
  const network = realNetwork({
    clusterKey,
    log: recordingLogger().log,
    encryption: 'always',
    ...(certificates === undefined ? {} : { certificates }),
  })
  const listener = await network.listen(
    { addresses: ['127.0.0.1'], port: 0 },
    () => self,
    (connection) => connection.setHandlers({ onMessage: () => undefined, onClose: () => undefined }),
  )
  t.teardown(() => listener.close())
  return { port: listener.port, network }
}

t.test(
  'encryption by the cluster key: another key, or an older TLS, does not get as far as the handshake',
  async (t) => {
    const clusterKey = randomBytes(32)
    const { port, network } = await serve(t, clusterKey)
    const endpoint = { addresses: ['127.0.0.1'], port }
    const connection = await network.connect(endpoint, hello, options)
    connection.close()
    const stranger = realNetwork({
      clusterKey: randomBytes(32),
      log: recordingLogger().log,
      encryption: 'always',
    })
    await t.rejects(stranger.connect(endpoint, hello, options), {
      code: 'handshake.failed',
      message: /no encrypted session/,
    })
    const older = new Promise<string>((resolve) => {
      const socket = tlsConnect({ host: '127.0.0.1', port, maxVersion: 'TLSv1.2', rejectUnauthorized: false })
      socket.once('secureConnect', () => resolve('connected'))
      socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
      socket.once('close', () => resolve('closed'))
    })
    t.match(await older, /ERR_SSL|ECONNRESET|EPROTO|closed/)
  },
)

t.test(
  'certificates: expired ones and foreign ones do not count, on either side; keys must be private',
  async (t) => {
    const folder = await temporaryFolder(t)
    const file = (name: string): string => join(folder, name)
    const run = (...args: string[]): void =>
      void execFileSync('openssl', args, { stdio: 'ignore', cwd: folder })
    const newKey = (name: string): string[] => [
      ...[
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:prime256v1',
        '-nodes',
        '-keyout',
        file(`${name}.key`),
      ],
      ...['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1'],
    ]
    const make = (name: string, days: string): CertificateFiles => {
      run('req', '-new', ...newKey(name), '-out', file(`${name}.csr`))
      const signer = [
        '-CA',
        file('ca.pem'),
        '-CAkey',
        file('ca.key'),
        '-CAcreateserial',
        '-copy_extensions',
        'copy',
      ]
      run('x509', '-req', '-in', file(`${name}.csr`), ...signer, '-days', days, '-out', file(`${name}.pem`))
      return { certFile: file(`${name}.pem`), keyFile: file(`${name}.key`), caFile: file('ca.pem') }
    }
    try {
      run('req', '-x509', ...newKey('ca'), '-days', '2', '-out', file('ca.pem'))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      t.comment('openssl is not installed: no certificates to try with')
      return
    }
    const good = make('good', '2')
    const expired = make('expired', '-1')
    const clusterKey = randomBytes(32)
    const { port, network } = await serve(t, clusterKey, good)
    const endpoint = { addresses: ['127.0.0.1'], port }
    const connection = await network.connect(endpoint, hello, options)
    connection.close()
    const log = recordingLogger().log
    const late = realNetwork({ clusterKey, log, encryption: 'always', certificates: expired })
    await t.rejects(late.connect(endpoint, hello, options), 'the accepting side looks at the date')
    const lateServer = await serve(t, clusterKey, expired)
    await t.rejects(network.connect({ ...endpoint, port: lateServer.port }, hello, options), {
      code: 'handshake.failed',
      message: /CERT_HAS_EXPIRED/,
    })
    const wrongKey = realNetwork({
      clusterKey: randomBytes(32),
      log,
      encryption: 'always',
      certificates: good,
    })
    await t.rejects(
      wrongKey.connect(endpoint, hello, options),
      { code: 'handshake.failed' },
      'a certificate is no cluster key',
    )
    await chmod(good.keyFile, 0o644)
    t.throws(() => realNetwork({ clusterKey, log, encryption: 'always', certificates: good }), {
      code: 'key.unsafe',
    })
  },
)
