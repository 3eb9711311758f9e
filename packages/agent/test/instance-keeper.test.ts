import t, { type Test } from 'tap'
import { mkdirSync, writeFileSync } from 'node:fs'
import type { Assignment } from '@mirabelle/messages'
import { realClock, realDisk, type Logger, type Ports } from '@mirabelle/runtime'
import { InstanceKeeper, type StopMode } from '../src/instance-keeper.ts'
import { FakeProcesses, type FakeProcess } from './support/fake-processes.ts'

function setUp(t: Test) {
  const datadir = `${t.testdir()}/data`
  mkdirSync(datadir)
  const assignment: Assignment = {
    dbid: 3,
    content: 1,
    role: 'p',
    epoch: 1,
    hostname: 'h',
    datadir,
    listen: { addresses: ['127.0.0.1'], port: 1 },
    sqlPort: 0,
    peer: null,
    syncRep: null,
    recovery: 'auto',
    copyMaxRate: null,
    settings: {},
  }
  const errors: string[] = []
  let heard: (sentence: string) => void = () => {}
  const nextError = () => new Promise<string>((resolve) => (heard = resolve))
  const log: Logger = {
    debug() {},
    info() {},
    warn() {},
    error: (_fields, sentence) => {
      errors.push(sentence)
      heard(sentence)
    },
    child: () => log,
  }
  const processes = new FakeProcesses()
  const certificates: string[] = []
  const asked: StopMode[] = []
  const stop = { answer: (_process: FakeProcess | undefined): Promise<void> => Promise.resolve() }
  const keeper = new InstanceKeeper(assignment, {
    ports: { clock: realClock, disk: realDisk, log } as unknown as Ports,
    processes,
    instanceScript: 'instance.js',
    hostDir: datadir,
    askToStop: (_assignment, mode) => {
      asked.push(mode)
      return stop.answer(processes.made.at(-1))
    },
    onExit: (_keeper, pid, exit) => certificates.push(`${pid} ${exit.code} ${exit.signal}`),
  })
  return { keeper, assignment, processes, certificates, asked, stop, datadir, errors, nextError }
}

t.test('a start spawns once; a second one gives the same process', async (t) => {
  const { keeper, assignment, processes } = setUp(t)
  const [first, second] = await Promise.all([keeper.start(assignment), keeper.start(assignment)])
  t.equal(first, second)
  t.equal(processes.made.length, 1)
  t.match(keeper.row(), { state: 'running', pid: first, lastError: null })
})

t.test('a process that was made ahead is taken by the start, once', async (t) => {
  const { keeper, assignment, processes, certificates, datadir } = setUp(t)
  keeper.prepare()
  keeper.prepare()
  t.notOk(keeper.running, 'it is no instance yet')
  const pid = await keeper.start(assignment)
  t.equal(processes.made.length, 1)
  t.same(processes.begun, [`${pid} ${datadir}/start.json`])
  t.match(keeper.row(), { state: 'running', pid })
  processes.made[0]?.end({ code: 1, signal: null })
  await keeper.lastWords
  t.same(certificates, [`${pid} 1 null`])
  t.not(await keeper.start(assignment), pid)
  t.equal(processes.begun.length, 1, 'the next start makes its own')
})

t.test('a process that was made ahead and has ended, was dropped, or fenced, is not taken', async (t) => {
  const { keeper, assignment, processes, certificates } = setUp(t)
  keeper.prepare()
  await new Promise(setImmediate)
  processes.made[0]?.end({ code: null, signal: 'SIGKILL' })
  await new Promise(setImmediate)
  keeper.prepare()
  keeper.unprepare()
  keeper.prepare()
  t.equal(await keeper.fence(), false)
  await keeper.start(assignment)
  t.equal(processes.made.length, 4)
  t.same(processes.begun, [])
  t.same(certificates, [], 'nobody is told of a process that was no instance')
  t.same(
    processes.made.map(({ signals }) => signals),
    [[], ['SIGKILL'], ['SIGKILL'], []],
  )
})

t.test('a process that cannot be made ahead is made by the start', async (t) => {
  const { keeper, assignment, processes } = setUp(t)
  processes.failure = new Error('EAGAIN')
  keeper.prepare()
  await new Promise(setImmediate)
  processes.failure = undefined
  await keeper.start(assignment)
  t.ok(keeper.running)
})

t.test('a start into a folder that is not there is refused', async (t) => {
  const { keeper, assignment, processes } = setUp(t)
  await t.rejects(keeper.start({ ...assignment, datadir: '/nonexistent/place' }), { code: 'datadir.broken' })
  t.equal(processes.made.length, 0)
  t.equal(keeper.row().state, 'stopped')
})

t.test('a process that cannot be spawned leaves the instance stopped', async (t) => {
  const { keeper, assignment, processes } = setUp(t)
  processes.failure = new Error('EAGAIN')
  await t.rejects(keeper.start(assignment), { message: 'EAGAIN' })
  t.equal(keeper.row().state, 'stopped')
  processes.failure = undefined
  await keeper.start(assignment)
  t.ok(keeper.running)
})

t.test('an orderly stop asks and waits; its certificate is handed out once', async (t) => {
  const { keeper, assignment, stop, asked, certificates, processes } = setUp(t)
  const pid = await keeper.start(assignment)
  stop.answer = (process) => {
    process?.end({ code: 0, signal: null })
    return Promise.resolve()
  }
  t.equal(await keeper.stop('fast'), true)
  t.same(asked, ['fast'])
  t.same(certificates, [`${pid} 0 null`])
  t.same(processes.made[0]?.signals, [])
  t.equal(await keeper.stop('fast'), false, 'there is nothing to stop any more')
})

t.test('an instance that cannot be asked is killed', async (t) => {
  const { keeper, assignment, stop, processes, certificates } = setUp(t)
  await keeper.start(assignment)
  stop.answer = () => Promise.reject(new Error('hangs'))
  await keeper.stop('fast')
  t.same(processes.made[0]?.signals, ['SIGKILL'])
  t.equal(certificates.length, 1)
})

t.test('a fence does not wait for an orderly stop under way', async (t) => {
  const { keeper, assignment, stop, processes, certificates } = setUp(t)
  await keeper.start(assignment)
  let ask: () => void = () => {}
  const asking = new Promise<void>((resolve) => (ask = resolve))
  stop.answer = () => {
    ask()
    return new Promise(() => {}) // it never answers
  }
  void keeper.stop('smart')
  await asking
  t.equal(keeper.row().state, 'stopping')
  t.equal(await keeper.fence(), true)
  t.same(processes.made[0]?.signals, ['SIGKILL'])
  t.equal(keeper.row().state, 'stopped')
  t.equal(certificates.length, 1)
})

t.test('a fence during a start ends the process that comes of it, and voids starts that wait', async (t) => {
  const { keeper, assignment, processes } = setUp(t)
  let open: () => void = () => {}
  processes.gate = new Promise((resolve) => (open = resolve))
  const starts = [keeper.start(assignment), keeper.start(assignment)]
  const results = Promise.allSettled(starts)
  while (keeper.row().state !== 'starting') await new Promise((resolve) => setImmediate(resolve))
  const fenced = keeper.fence()
  open()
  t.equal(await fenced, true)
  await results
  t.notOk(keeper.running, 'nothing runs after a fence')
  for (const process of processes.made) t.same(process.signals, ['SIGKILL'])
  await keeper.start(assignment)
  t.ok(keeper.running, 'a start that is asked for afterwards counts')
})

t.test('a fence before the spawn prevents it', async (t) => {
  const { keeper, assignment, processes } = setUp(t)
  const start = keeper.start(assignment)
  const refused = t.rejects(start, { code: 'busy', message: /fenced/ })
  await keeper.fence()
  await refused
  t.equal(processes.made.length, 0)
  t.equal(keeper.row().state, 'stopped')
})

t.test(
  'a process that exits by itself gives one certificate, and a fence then has nothing to do',
  async (t) => {
    const { keeper, assignment, processes, certificates } = setUp(t)
    const pid = await keeper.start(assignment)
    processes.made[0]?.end({ code: null, signal: 'SIGKILL' })
    await processes.made[0]?.exited
    await keeper.stop('immediate')
    t.same(certificates, [`${pid} null SIGKILL`])
    t.equal(await keeper.fence(), false)
    t.equal(keeper.row().lastError, 'killed by SIGKILL', 'nobody of the cluster asked for that')
    await keeper.start(assignment)
    await keeper.stop('immediate')
    t.equal(keeper.row().lastError, null, 'a kill that was asked for is no failure')
  },
)

t.test('the last words of an instance that failed are kept until it is started again', async (t) => {
  const { keeper, assignment, processes, datadir, nextError } = setUp(t)
  await keeper.start(assignment)
  writeFileSync(
    `${datadir}/instance.log`,
    `${'noise\n'.repeat(3_000)}the data directory is locked by pid 42\n\n`,
  )
  const logged = nextError()
  processes.made[0]?.end({ code: 1, signal: null })
  t.match(await logged, 'the data directory is locked by pid 42')
  t.match(keeper.row(), { state: 'stopped', pid: null, lastError: 'the data directory is locked by pid 42' })
  await keeper.start(assignment)
  t.equal(keeper.row().lastError, null)
})

t.test('whoever sees that an instance has ended can wait for its last words', async (t) => {
  const { keeper, assignment, processes, datadir } = setUp(t)
  await keeper.start(assignment)
  writeFileSync(`${datadir}/instance.log`, 'the disk is full\n')
  processes.made[0]?.end({ code: 1, signal: null })
  await processes.made[0]?.exited
  t.match(keeper.row(), { pid: null, lastError: null }, 'they are being read')
  await keeper.lastWords
  t.match(keeper.row(), { pid: null, lastError: 'the disk is full' })
})

t.test('an instance whose disk was too full for a last word, and what an earlier run said', async (t) => {
  const { keeper, assignment, processes, datadir, nextError } = setUp(t)
  writeFileSync(`${datadir}/instance.log`, 'the port is in use\n')
  await keeper.start(assignment)
  const logged = nextError()
  processes.made[0]?.end({ code: 53, signal: null })
  t.match(await logged, `the disk of ${datadir} is full: make room there`)
})

t.test('an instance that failed without a word still says its status', async (t) => {
  const { keeper, assignment, processes, datadir, nextError } = setUp(t)
  await keeper.start(assignment)
  writeFileSync(`${datadir}/instance.log`, '')
  const logged = nextError()
  processes.made[0]?.end({ code: 7, signal: null })
  t.match(await logged, 'exit status 7')
})

t.test('an adopted process is watched like one of ours', async (t) => {
  const { keeper, processes, certificates } = setUp(t)
  keeper.adopt(processes.adopt(77))
  t.match(keeper.row(), { state: 'running', pid: 77 })
  await keeper.stop('immediate')
  t.same(certificates, ['77 null SIGKILL'])
})

t.test('what is done to its folder waits for a start that is under way, and is refused then', async (t) => {
  const { keeper, assignment, processes } = setUp(t)
  let spawns: () => void = () => {}
  processes.gate = new Promise((resolve) => (spawns = resolve))
  const starting = keeper.start(assignment)
  let isMade = false
  const making = keeper.create(assignment, () => {
    isMade = true
    return Promise.resolve()
  })
  spawns()
  await t.rejects(making, { code: 'busy' })
  t.notOk(isMade)
  t.equal(keeper.pid, await starting)
})

t.test('nothing is started while something is done to its folder', async (t) => {
  const { keeper, assignment, processes } = setUp(t)
  let made: () => void = () => {}
  const making = keeper.create({ ...assignment, role: 'm' }, () => new Promise((resolve) => (made = resolve)))
  const starting = keeper.start(assignment)
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(processes.made.length, 0)
  t.equal(keeper.assignment.role, 'p')
  made()
  await making
  t.equal(keeper.assignment.role, 'm')
  await starting
  t.equal(processes.made.length, 1)
})

t.test(
  'a process that nobody adopted, because it had just been started, is found when it matters',
  async (t) => {
    const { keeper, assignment, processes, certificates } = setUp(t)
    const left = processes.leave()
    t.equal(await keeper.start(assignment), left.pid, 'no second one is started beside it')
    t.equal(processes.made.length, 0)
    left.end({ code: null, signal: null })
    await new Promise(setImmediate)
    t.same(certificates, [`${left.pid} null null`], 'its end is told')

    const stopped = processes.leave()
    t.equal(await keeper.stop('immediate'), true)
    t.same(stopped.signals, ['SIGKILL'])

    const fenced = processes.leave()
    t.equal(await keeper.fence(), true)
    t.same(fenced.signals, ['SIGKILL'])

    processes.leave()
    const work = () => Promise.reject(new Error('its folder is touched'))
    await t.rejects(keeper.whileStopped(work), { code: 'busy' })
  },
)
