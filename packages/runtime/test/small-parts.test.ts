import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { MirabelleError } from '@mirabelle/messages'
import { Mailbox } from '../src/actor/mailbox.ts'
import { openLogger, parseLogLevel } from '../src/log/pino-logger.ts'
import { Liveness } from '../src/net/liveness.ts'
import { realClock } from '../src/real/real-clock.ts'
import { Deadline, withTimeout } from '../src/time/with-timeout.ts'
import { fromErrorMessage, toErrorMessage } from '../src/wire/wire-error.ts'
import { isLoopback } from '../src/net/encryption.ts'
import type { Clock } from '../src/ports/clock.ts'
import { handClock } from './support/hand-clock.ts'

const late = (): MirabelleError => new MirabelleError('timeout', 'too late')

t.test('a mailbox handles one letter at a time, in order, and goes on after a failure', async (t) => {
  const log: string[] = []
  const mailbox = new Mailbox<string>({
    name: 'test',
    limit: 10,
    async handle(letter) {
      log.push(`begin ${letter}`)
      await new Promise((resolve) => setImmediate(resolve))
      if (letter === 'b') throw new Error('broken')
      log.push(`end ${letter}`)
    },
    failed: (error, letter) => log.push(`${(error as Error).message} ${letter}`),
  })
  for (const letter of ['a', 'b', 'c']) mailbox.post(letter)
  t.same(log, [], 'not within post()')
  await mailbox.idle()
  t.same(log, ['begin a', 'end a', 'begin b', 'broken b', 'begin c', 'end c'])
})

t.test('a full mailbox refuses, or drops the oldest that waits', async (t) => {
  const handled: number[] = []
  const handle = (letter: number): void => {
    handled.push(letter)
  }
  const failed = (): void => {
    t.fail('nothing fails')
  }
  const strict = new Mailbox<number>({ name: 'strict', limit: 2, handle, failed })
  strict.post(1)
  strict.post(2)
  t.throws(() => strict.post(3), { code: 'queue.full', message: /strict holds 2/ })
  await strict.idle()
  t.same(handled.splice(0), [1, 2])
  const newest = new Mailbox<number>({ name: 'newest', limit: 2, handle, failed, whenFull: 'dropOldest' })
  for (const letter of [1, 2, 3, 4]) newest.post(letter)
  t.equal(newest.length, 2)
  await newest.idle()
  t.same(handled.splice(0), [3, 4])
  t.equal(newest.dropped, 2)
})

t.test('a closed mailbox drops what waits', async (t) => {
  const handled: number[] = []
  const mailbox = new Mailbox<number>({
    name: 'x',
    limit: 2000,
    handle: (letter) => {
      handled.push(letter)
      if (letter === 1500) mailbox.close()
    },
    failed: () => t.fail('nothing fails'),
  })
  for (let letter = 0; letter < 2000; letter++) mailbox.post(letter)
  await mailbox.idle()
  mailbox.post(9)
  t.equal(handled.length, 1501)
  t.ok(handled.every((letter, i) => letter === i))
})

t.test('withTimeout passes on what comes in time and rejects what does not', async (t) => {
  t.equal(await withTimeout(realClock, Promise.resolve(5), 1000, late), 5)
  await t.rejects(withTimeout(realClock, Promise.reject(new Error('own')), 1000, late), /own/)
  await t.rejects(withTimeout(realClock, new Promise(() => {}), 5, late), { code: 'timeout' })
})

t.test('a deadline counts over several waits', async (t) => {
  let now = 1000
  const timers: (() => void)[] = []
  const clock: Clock = {
    now: () => now,
    monotonic: () => now,
    setTimer: (ms, fn) => {
      timers.push(fn)
      t.equal(ms, 1100 - now)
      return { clear() {} }
    },
    soon: (fn) => fn(),
  }
  const deadline = new Deadline(clock, 100, late)
  now = 1040
  t.equal(deadline.remainingMs, 60)
  t.equal(await deadline.wait(Promise.resolve('in time')), 'in time')
  now = 1090
  const waiting = deadline.wait(new Promise(() => {}))
  timers.at(-1)?.()
  await t.rejects(waiting, { code: 'timeout' })
  t.doesNotThrow(() => deadline.check())
  now = 1100
  t.ok(deadline.passed)
  t.throws(() => deadline.check(), { code: 'timeout' })
})

t.test('a beat comes every quarter of the limit, silence is told at the limit', async (t) => {
  const { clock, jump } = handClock()
  const seen: string[] = []
  const liveness = new Liveness({
    clock,
    silenceTimeoutMs: 400,
    beat: () => seen.push('beat'),
    silent: (ms) => seen.push(`silent ${ms}`),
  })
  for (let ms = 0; ms < 350; ms += 50) jump(50)
  t.same(seen, ['beat', 'beat', 'beat'])
  liveness.heard()
  for (let ms = 0; ms < 350; ms += 50) jump(50)
  t.notOk(seen.some((line) => line.startsWith('silent')))
  for (let ms = 0; ms < 100; ms += 50) jump(50)
  t.match(seen.at(-1), /^silent 4\d\d$/)
  const count = seen.length
  for (let ms = 0; ms < 2000; ms += 50) jump(50)
  t.equal(seen.length, count, 'told once, and no beat after it')
})

t.test('beats are as rare as the patience of the other side allows', async (t) => {
  const { clock, jump } = handClock()
  let beats = 0
  const liveness = new Liveness({
    clock,
    silenceTimeoutMs: 400,
    peerPatience: 5,
    beat: () => beats++,
    silent: () => t.fail('it was heard all the time'),
  })
  for (let ms = 0; ms < 2000; ms += 50) {
    jump(50)
    liveness.heard()
  }
  t.equal(beats, 4, 'one each 500 ms')
  liveness.stop()
})

t.test(
  'a process that was stopped and continued does not call its peer silent before listening',
  async (t) => {
    const { clock, jump } = handClock()
    let silent = 0
    const liveness = new Liveness({
      clock,
      silenceTimeoutMs: 400,
      beat: () => undefined,
      silent: () => silent++,
    })
    jump(60_000)
    t.equal(silent, 0)
    liveness.heard()
    jump(100)
    t.equal(silent, 0)
    liveness.stop()
  },
)

t.test('errors travel with code, text and detail; what is unknown becomes internal', async (t) => {
  const error = new MirabelleError('wal.ahead', 'dbid 3 is ahead', { detail: { lsn: 5 } })
  t.match(fromErrorMessage(toErrorMessage(error)), {
    code: 'wal.ahead',
    message: 'dbid 3 is ahead',
    detail: { lsn: 5 },
  })
  t.same(toErrorMessage(new Error('x')), { type: 'error', code: 'internal', message: 'x', detail: null })
  t.equal(toErrorMessage(new Error('y'.repeat(100_000))).message.length, 4000)
  t.match(fromErrorMessage({ type: 'error', code: 'toString', message: 'm', detail: null }), {
    code: 'internal',
    message: /unknown code toString/,
  })
})

t.test('loopback addresses are known in all their forms', async (t) => {
  for (const address of ['127.0.0.1', '127.8.9.1', '::1', '::ffff:127.0.0.1'])
    t.ok(isLoopback(address), address)
  for (const address of ['10.0.0.1', '::2', '::ffff:10.0.0.1', '', undefined])
    t.notOk(isLoopback(address), String(address))
})

t.test('the log is JSON lines with the fields of each actor, and its file is bounded', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'mirabelle-log-'))
  t.teardown(() => rm(folder, { recursive: true }))
  const logFile = join(folder, 'logs', 'seg0.log')
  const { log, flush } = openLogger({ name: 'seg0', level: 'info', logFile, maxBytes: 100_000 })
  const actor = log.child({ actor: 'walsender', dbid: 2 })
  actor.debug({}, 'not shown')
  actor.info({ lsn: '0/1' }, 'streaming')
  for (let i = 0; i < 2000; i++) {
    actor.info({ i }, 'a line of some length, so that the file fills up')
    if (i % 50 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  // Lines are written in the background; the last one says that all of them are there.
  const isThere = async (): Promise<boolean> =>
    (await readFile(logFile, 'utf8').catch(() => '')).includes('"i":1999')
  while (!(await isThere())) await new Promise((resolve) => setImmediate(resolve))
  actor.info({ i: 2000 }, 'the last words')
  flush()
  const older = await readFile(`${logFile}.1`, 'utf8')
  const lines = (older + (await readFile(logFile, 'utf8'))).trim().split('\n')
  t.match(JSON.parse(lines.at(-1) as string), {
    level: 'info',
    name: 'seg0',
    actor: 'walsender',
    dbid: 2,
    i: 2000,
  })
  t.ok((await stat(logFile)).size < 200_000, 'the file is bounded')
  t.ok((await stat(`${logFile}.1`)).size < 200_000, 'so is the older one')
})

t.test(
  'an error that is expected is told by its code and sentence, another one with where it came from',
  async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'mirabelle-log-'))
    t.teardown(() => rm(folder, { recursive: true }))
    const logFile = join(folder, 'one.log')
    const { log, flush } = openLogger({ name: 'one', level: 'info', logFile })
    const refused = Object.assign(new Error('connect ECONNREFUSED'), {
      code: 'ECONNREFUSED',
      syscall: 'connect',
    })
    log.warn({ err: new MirabelleError('connection.refused', 'nobody there', { cause: refused }) }, 'a')
    log.warn({ err: new TypeError('x is not a function', { cause: refused }) }, 'b')
    flush()
    const [expected, unexpected] = (await readFile(logFile, 'utf8')).trim().split('\n')
    t.strictSame(JSON.parse(expected as string).err, {
      type: 'MirabelleError',
      code: 'connection.refused',
      message: 'nobody there',
      cause: { type: 'Error', code: 'ECONNREFUSED', message: 'connect ECONNREFUSED' },
    })
    t.match(JSON.parse(unexpected as string).err, { type: 'TypeError', stack: /small-parts/ })
  },
)

t.test('a level that nobody knows is `info`', async (t) => {
  t.equal(parseLogLevel('debug'), 'debug')
  for (const word of [undefined, '', 'loud', 'toString']) t.equal(parseLogLevel(word), 'info')
})
