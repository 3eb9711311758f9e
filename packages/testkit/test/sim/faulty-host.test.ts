/** What the simulated disk and clock do when they are broken. */
import t from 'tap'
import { SimFabric } from '../../src/sim/sim-network.ts'
import { SimHost } from '../../src/sim/sim-host.ts'
import { SimWorld } from '../../src/sim/sim-world.ts'

function oneHost(seed = 5) {
  const world = new SimWorld(seed)
  const host = new SimHost(new SimFabric(world), 'h1')
  host.files.makeFolder('/data/wal')
  const process = host.spawn('test')
  return { world, host, process, ports: host.portsOf(process) }
}

/** What is left of a file that was written, synced, overwritten and synced again, after the power went. */
async function afterThePower(seed: number, lies: boolean, caughtUp: boolean): Promise<string> {
  const { world, host, ports } = oneHost(seed)
  const write = async (text: string): Promise<void> => {
    const file = await ports.disk.open('/data/wal/1', 'a+')
    await file.write(0, new TextEncoder().encode(text))
    await file.sync()
    await ports.disk.syncDir('/data/wal')
  }
  await world.until(write('old'))
  if (lies) host.disk.liesBelow = '/data/wal'
  await world.until(write('new'))
  const told = host.files.file('/data/wal/1')?.toldDurable
  if (new TextDecoder().decode(told) !== 'new') throw new Error('it was not told to be durable')
  if (caughtUp) host.files.makeTrue()
  host.losePower()
  return new TextDecoder().decode(host.files.file('/data/wal/1')?.durable)
}

void t.test('what a lying disk has synced may be gone when the power goes', async (t) => {
  const left = { honest: new Set<string>(), lying: new Set<string>(), caughtUp: new Set<string>() }
  for (let seed = 1; seed <= 20; seed++) {
    left.honest.add(await afterThePower(seed, false, false))
    left.lying.add(await afterThePower(seed, true, false))
    left.caughtUp.add(await afterThePower(seed, true, true))
  }
  t.same([...left.honest], ['new'])
  t.ok(left.lying.has('old'), [...left.lying].join(' '))
  t.same([...left.caughtUp], ['new'])
})

void t.test(
  'a new file may be gone when the power goes although it was synced, unless its folder was',
  async (t) => {
    const left = { file: new Set<boolean>(), folder: new Set<boolean>() }
    for (let seed = 1; seed <= 20; seed++) {
      for (const what of ['file', 'folder'] as const) {
        const { world, host, ports } = oneHost(seed)
        const write = async (): Promise<void> => {
          const file = await ports.disk.open('/data/wal/1', 'a+')
          await file.write(0, new Uint8Array(1))
          await file.sync()
          if (what === 'folder') await ports.disk.syncDir('/data/wal')
        }
        await world.until(write())
        t.equal(host.files.file('/data/wal/1')?.toldDurable !== undefined, what === 'folder')
        host.losePower()
        left[what].add(host.files.file('/data/wal/1') !== undefined)
      }
    }
    t.same([...left.file].sort(), [false, true])
    t.same([...left.folder], [true])
  },
)

void t.test('a clock that drifts neither jumps nor stands still, and its timers drift with it', async (t) => {
  const { world, host, ports } = oneHost()
  const ticks: number[] = []
  const tick = (): void => {
    ticks.push(world.nowMs)
    if (ticks.length < 4) ports.clock.setTimer(100, tick)
  }
  ports.clock.setTimer(100, tick)
  await world.run(() => ticks.length === 2)
  const before = ports.clock.monotonic()
  host.setClockRate(2)
  t.equal(ports.clock.monotonic(), before)
  await world.run(() => ticks.length === 4)
  t.same(ticks, [100, 200, 300, 350], 'a timer that was set keeps its time')
  t.equal(ports.clock.monotonic(), before + 300)
})

void t.test('what is left of a time after rounding is not waited for again and again', async (t) => {
  const { world, ports } = oneHost()
  await world.run(() => false, 8_370.834644112565)
  const until = ports.clock.monotonic() + 1e-12
  const wait = (): void => {
    if (ports.clock.monotonic() < until) ports.clock.setTimer(until - ports.clock.monotonic(), wait)
  }
  wait()
  await world.run(() => false, world.nowMs + 1, 100)
  t.ok(ports.clock.monotonic() > until)
})

void t.test(
  'an operation on the disk is seen before and after, and a process that ends at it goes no further',
  async (t) => {
    const { world, host, process, ports } = oneHost()
    const seen: string[] = []
    host.onDiskOperation = (_process, operation, after) => {
      seen.push(`${operation} ${after ? 'after' : 'before'}`)
      if (seen.length === 2) process.kill()
    }
    let isWritten = false
    void ports.disk.writeFileDurable('/data/a', 'x').then(() => (isWritten = true))
    await world.run(() => false)
    t.same(seen, ['writeFileDurable before', 'writeFileDurable after'])
    t.notOk(isWritten, 'nobody is left who could learn it')
    t.ok(host.files.file('/data/a')?.durable, 'it is there')
  },
)
