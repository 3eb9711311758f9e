/** An agent that starts anew takes over the instances of the one before it, also one that does not answer. */
import t from 'tap'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { Agent, realProcesses } from '@mirabelle/agent'
import type { Assignment, MessageOf } from '@mirabelle/messages'
import { createRealPorts, type Hello, type Ports } from '@mirabelle/runtime'

const HOLDER =
  "import('@mirabelle/engine').then(async (m) => { await m.lockFolder(process.argv[1]); console.log('held'); setInterval(() => {}, 1000) })"

t.test('a hung instance is adopted by who holds its folder, and can be fenced', async (t) => {
  const dir = t.testdir({ instance: {} })
  const datadir = `${dir}/instance`
  const child = spawn(process.execPath, ['--input-type=module', '-e', HOLDER, datadir], {
    cwd: import.meta.dirname,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  await once(child.stdout, 'data')
  child.kill('SIGSTOP')
  const ended = once(child, 'exit')

  const listen = { addresses: ['127.0.0.1'], port: 0 }
  const assignment: Assignment = {
    dbid: 7,
    content: 0,
    role: 'm',
    epoch: 2,
    hostname: 'host',
    datadir,
    listen,
    sqlPort: 0,
    peer: null,
    syncRep: null,
    recovery: 'auto',
    copyMaxRate: null,
    settings: {},
  }
  writeFileSync(`${dir}/instances.json`, JSON.stringify([{ assignment, wanted: true }]))
  mkdirSync(`${dir}/log`)
  const real = createRealPorts({
    name: 'agent',
    level: 'silent',
    logFile: `${dir}/log/agent.log`,
    clusterKey: Buffer.alloc(32, 1),
    encryption: 'auto',
  })
  let isFull = false
  const writeFileDurable: Ports['disk']['writeFileDurable'] = (path, content) =>
    isFull
      ? Promise.reject(Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' }))
      : real.disk.writeFileDurable(path, content)
  const ports: Ports = { ...real, disk: { ...real.disk, writeFileDurable } }
  const config = {
    formatVersion: 1,
    clusterId: 'c',
    hostname: 'host',
    listen,
    keyFile: '',
    templateDir: dir,
    logLevel: 'silent',
    encryption: 'auto',
  } as const
  const { promise: over, resolve: onEnd } = withResolvers()
  const processes = realProcesses(ports.clock)
  const agent = new Agent({ ports, processes, config, dir, instanceScript: '', attended: true, onEnd })
  await agent.start()
  const hello: Hello = {
    clusterId: 'c',
    kind: 'cli',
    dbid: 0,
    content: -1,
    name: 'test',
    purpose: 'control',
    epoch: 0,
  }
  const limits = { timeoutMs: 10_000, silenceTimeoutMs: 0 }
  const connection = await ports.network.connect({ ...listen, port: agent.port }, hello, limits)
  const status: MessageOf<'agent.statusIs'> = await connection.request({ type: 'agent.status' }, 10_000)
  t.match(status.instances, [{ dbid: 7, pid: child.pid, state: 'running' }])
  const fence = { type: 'agent.fence', dbid: 7, reason: 'a test' } as const
  await t.rejects(
    connection.request({ ...fence, epoch: 1 }, 10_000),
    { code: 'epoch.stale' },
    'a coordinator that was replaced does not end what its successor has started',
  )
  const fenced = await connection.request({ ...fence, epoch: 2 }, 10_000)
  t.match(fenced, { wasRunning: true })
  t.same(await ended, [null, 'SIGKILL'])
  const elsewhere = { ...assignment, dbid: 8, datadir: `${dir}/none` }
  await t.rejects(
    connection.request({ type: 'agent.start', assignment: elsewhere }, 10_000),
    /dbid 8: the folder .*none does not exist/,
  )
  const after = await connection.request({ type: 'agent.status' }, 10_000)
  t.same(
    after.instances.map(({ dbid }) => dbid),
    [7],
    'what could not be started because it is not here is not known here: it can be created',
  )
  isFull = true
  await t.rejects(connection.request({ type: 'agent.remove', dbid: 7 }, 10_000), { code: 'disk.full' })
  await t.rejects(
    connection.request({ type: 'agent.shutdown', mode: 'fast' }, 10_000),
    { code: 'disk.full' },
    'what has changed is not written down yet',
  )
  isFull = false
  await t.rejects(
    connection.request({ type: 'agent.start', assignment: elsewhere }, 10_000),
    /does not exist/,
    'an agent that could not shut down goes on',
  )
  await connection.request({ type: 'agent.shutdown', mode: 'fast' }, 10_000)
  connection.close()
  await over
})

function withResolvers(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => undefined
  const promise = new Promise<void>((done) => (resolve = done))
  return { promise, resolve }
}
