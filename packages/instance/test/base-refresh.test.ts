// The base refresh by itself, on a real disk: when a new base may be put in place, and what is there when it dies in the middle, and then again.
import t, { type Test } from 'tap'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { defaultSettings, type Timeline } from '@mirabelle/messages'
import { realClock, realDisk, silentLogger, type Disk, type Hello, type Ports } from '@mirabelle/runtime'
import { walFileName } from '@mirabelle/wal'
import { settleBases } from '../src/refresh/base-folders.ts'
import { BaseRefresh, type RefreshedMirror } from '../src/refresh/base-refresh.actor.ts'
import { tappedDisk } from './support/tapped-disk.ts'

const SEGMENT = 16 * 1024
/** Segments that were received, and where the two bases begin. */
const SEGMENTS = [1, 2, 3, 4, 5, 6]
const OLD_START = SEGMENT
const NEXT_START = 4 * SEGMENT + 100
const NEXT_END = 5 * SEGMENT
const FLUSHED = 7 * SEGMENT

async function putBase(disk: Disk, folder: string, which: string): Promise<void> {
  await disk.makeDir(`${folder}/global`)
  await disk.writeFileDurable(`${folder}/which`, which)
  await disk.syncDir(folder)
  await disk.writeFileDurable(`${folder}/global/pg_control`, which)
}

/** A mirror on the old base, with all WAL since. */
async function folderOf(test: Test): Promise<string> {
  const datadir = await mkdtemp(join(tmpdir(), 'mirabelle-refresh-'))
  test.teardown(() => rm(datadir, { recursive: true, force: true }))
  await putBase(realDisk, `${datadir}/pgdata`, 'old')
  await realDisk.makeDir(`${datadir}/wal`)
  for (const one of SEGMENTS)
    await realDisk.writeFileDurable(`${datadir}/wal/${walFileName(1, one * SEGMENT, SEGMENT)}`, 'WAL')
  return datadir
}

interface Refreshing {
  readonly refresh: BaseRefresh
  /** Resolves with the name of the base that counts, when the refresh has succeeded or failed. */
  readonly over: Promise<string>
}

function refreshing(
  datadir: string,
  how: {
    readonly disk?: Disk
    /** Is done when the base is built. */
    readonly built?: (mirror: { ownTimeline: Timeline }) => void
    /** Is done before replay is stopped. */
    readonly replacing?: (mirror: { ownTimeline: Timeline }) => void
  } = {},
): Refreshing {
  const { disk = realDisk } = how
  let over: (which: Promise<string>) => void = () => undefined
  const log = { ...silentLogger, info: () => over(baseIn(datadir)), warn: () => over(baseIn(datadir)) }
  const mirror: RefreshedMirror & { ownTimeline: Timeline } = {
    baseLsn: OLD_START,
    flushLsn: FLUSHED,
    ownTimeline: 1,
    async replaceBase(change) {
      how.replacing?.(mirror)
      if (!change.fits()) return false
      await change.forward()
      return true
    },
  }
  const refresh = new BaseRefresh(
    {
      ports: { clock: realClock, disk } as unknown as Ports,
      log: { ...log, child: () => log },
      datadir,
      segmentSize: SEGMENT,
      buildBase: async () => {
        await putBase(disk, `${datadir}/base-next`, 'next')
        how.built?.(mirror)
        return { timeline: 1, startLsn: NEXT_START, endLsn: NEXT_END, bytesTotal: 1, bytesFetched: 1 }
      },
      settings: () => ({ ...defaultSettings, mirror_base_refresh_size: 1 }),
      peer: () => ({ dbid: 2, endpoint: { addresses: ['127.0.0.1'], port: 1 } }),
      hello: () => ({ epoch: 1 }) as Hello,
    },
    mirror,
  )
  const result = new Promise<string>((resolve) => (over = resolve))
  refresh.look()
  return { refresh, over: result }
}

async function baseIn(datadir: string): Promise<string> {
  const which = await readFile(`${datadir}/pgdata/which`, 'utf8')
  const control = await readFile(`${datadir}/pgdata/global/pg_control`, 'utf8')
  return which === control ? which : `${which} with the control file of ${control}`
}

/** Segments of received WAL that are there. */
async function walIn(datadir: string): Promise<number[]> {
  const names = new Set(await readdir(`${datadir}/wal`))
  return SEGMENTS.filter((one) => names.has(walFileName(1, one * SEGMENT, SEGMENT)))
}

t.test('a new base is put in place, and then the old one and the WAL from before it go', async (test) => {
  const datadir = await folderOf(test)
  const { refresh, over } = refreshing(datadir)
  test.equal(await over, 'next')
  await refresh.stop()
  test.same(await walIn(datadir), [4, 5, 6])
  test.same((await readdir(datadir)).sort(), ['pgdata', 'wal'])
})

for (const [when, how] of [
  ['was built', { built: (mirror: { ownTimeline: Timeline }) => void (mirror.ownTimeline = 2) }],
  [
    'is about to be put in place',
    { replacing: (mirror: { ownTimeline: Timeline }) => void (mirror.ownTimeline = 2) },
  ],
] as const) {
  t.test(
    `a base is left when the mirror follows another timeline by the time that it ${when}`,
    async (test) => {
      const datadir = await folderOf(test)
      const { refresh, over } = refreshing(datadir, how)
      test.equal(await over, 'old')
      await refresh.stop()
      test.same(await walIn(datadir), SEGMENTS, 'no WAL is deleted')
      test.same((await readdir(datadir)).sort(), ['pgdata', 'wal'])
    },
  )
}

t.test('a refresh that is stopped before the switch does not switch', async (test) => {
  const datadir = await folderOf(test)
  let stop: () => Promise<void> = () => Promise.resolve()
  let stopped: Promise<void> | undefined
  const { refresh } = refreshing(datadir, { replacing: () => void (stopped = stop()) })
  stop = () => refresh.stop()
  await new Promise((resolve) => setImmediate(resolve))
  while (stopped === undefined) await new Promise((resolve) => setImmediate(resolve))
  await stopped
  test.equal(await baseIn(datadir), 'old')
})

/** A disk on which, after so many steps, nothing ends any more: its process is killed there. `killed` resolves then. */
function mortalDisk(datadir: string, steps: number): { disk: Disk; killed: Promise<void> } {
  let left = steps
  let kill: () => void = () => undefined
  const killed = new Promise<void>((resolve) => (kill = resolve))
  const disk = tappedDisk(datadir, (_step, when) => {
    if (when === 'before' || --left > 0) return left > 0 ? undefined : new Promise<void>(() => undefined)
    kill()
    return new Promise<void>(() => undefined)
  })
  return { disk, killed }
}

t.test(
  'killed after any step, and then after any step of the next start, it leaves one whole base with its WAL',
  async (test) => {
    const seen = new Set<string>()
    for (let steps = 1; ; steps++) {
      let again = 1
      for (let survived = false; !survived; again++) {
        const datadir = await folderOf(test)
        const first = mortalDisk(datadir, steps)
        const { refresh, over } = refreshing(datadir, { disk: first.disk })
        const isKilled = await Promise.race([first.killed.then(() => true), over.then(() => false)])
        if (!isKilled) {
          await refresh.stop()
          test.ok(steps > 12, `${steps - 1} steps`)
          test.same([...seen].sort(), ['next', 'old'])
          return
        }
        const second = mortalDisk(datadir, again)
        const settled = settleBases(second.disk, datadir).then(() => true)
        survived = await Promise.race([second.killed.then(() => false), settled])
        await settleBases(realDisk, datadir)
        const where = `killed after step ${steps} and ${again}`
        const base = await baseIn(datadir)
        seen.add(base)
        const wal = await walIn(datadir)
        const needed = SEGMENTS.filter((one) => one >= (base === 'old' ? 1 : 4))
        if (!needed.every((one) => wal.includes(one)))
          test.fail(`${where}: base ${base} needs ${needed.join()}, there is ${wal.join()}`)
        const left = (await readdir(datadir)).filter((name) => name !== 'pgdata' && name !== 'wal')
        if (left.length > 0) test.fail(`${where}: ${left.join()} is left`)
      }
    }
  },
)
