import t from 'tap'
import type { ActionResult, FolderFacts, SegmentRow } from '@mirabelle/messages'
import type { AdminSources } from '../src/ha/admin-sources.ts'
import { chooseMode, type SourceFacts } from '../src/ha/mirrors/copy-mode.ts'
import { planMirrors } from '../src/ha/mirrors/mirror-plan.ts'
import { inParallel, WorkList } from '../src/ha/mirrors/work-list.ts'
import { ManualClock } from './support/manual-clock.ts'

const MB = 1024 * 1024
type Wal = NonNullable<FolderFacts['wal']>
const folder = (wal: Partial<Wal> | null, over: Partial<FolderFacts> = {}): FolderFacts => ({
  dbid: 4,
  content: 0,
  datadir: '/d',
  endpoint: { addresses: ['h'], port: 1 },
  pid: null,
  hasBase: true,
  copying: null,
  dataRole: 'm',
  wal:
    wal === null ? null : { timeline: 1, history: [], startLsn: MB, endLsn: 5 * MB, damaged: false, ...wal },
  baseBytes: 40 * MB,
  divergedBytes: 0,
  commits: null,
  ...over,
})
const source = (wal: Partial<Wal> = {}): SourceFacts => ({
  folder: folder({ endLsn: 9 * MB, ...wal }),
  timeline: wal.timeline ?? 1,
  flushLsn: 9 * MB,
})

t.test('a copy that the WAL of its primary reaches comes back by WAL', async (t) => {
  t.same(chooseMode('auto', folder({}), source()), { mode: 'incremental', bytes: 4 * MB })
  const forked = source({ timeline: 2, history: [{ timeline: 1, end: 5 * MB }] })
  t.same(chooseMode('auto', folder({}), forked), { mode: 'incremental', bytes: 4 * MB })
})

t.test('one that has diverged, or is too far behind, needs the blocks that differ', async (t) => {
  const forked = source({ timeline: 2, history: [{ timeline: 1, end: 4 * MB }] })
  t.same(chooseMode('auto', folder({}), forked), { mode: 'differential', bytes: 40 * MB })
  t.equal(chooseMode('auto', folder({}), source({ startLsn: 6 * MB })).mode, 'differential')
  t.equal(chooseMode('auto', folder({ timeline: 3 }), source()).mode, 'differential')
})

t.test('what is asked for stands; what was begun, or has no base, is copied', async (t) => {
  t.equal(chooseMode('full', folder({}), source()).mode, 'full')
  t.same(chooseMode('auto', folder({}, { copying: 'differential' }), source()).mode, 'differential')
  t.equal(chooseMode('auto', folder(null), source()).mode, 'full')
  t.equal(chooseMode('auto', folder({}, { hasBase: false }), source()).mode, 'full')
  t.same(chooseMode('auto', null, source()), { mode: 'auto', bytes: null })
})

t.test('a copy that finds no place has the number of the one that was to be replaced', async (t) => {
  const row = (dbid: number, role: 'p' | 'm', hostname: string) =>
    ({ dbid, content: 0, role, status: role === 'p' ? 'u' : 'd', hostname, port: 7000 + dbid }) as SegmentRow
  const [primary, mirror] = [row(2, 'p', 'h1'), row(4, 'm', 'h2')]
  const sources = {
    clock: new ManualClock(),
    topology: {
      lastDbid: 5,
      row: (dbid: number) => [primary, mirror].find((one) => one.dbid === dbid),
      primary: () => primary,
      host: (hostname: string) => ({ hostname }),
    },
    links: {
      instance: () => ({ request: () => Promise.resolve({ role: 'p' }) }),
      agent: () => ({ request: () => Promise.reject(new Error('nobody listens')) }),
    },
  } as unknown as AdminSources
  const to = { hostname: 'h3', address: null, port: 7100, datadir: '/new' }
  const moves = [{ kind: 'recover', content: 0, dbid: 4, to, mode: null }] as const
  const [step] = await planMirrors({ moves, mode: 'auto', look: false }, sources)
  t.match(step, { oldDbid: 4, row: { dbid: 4, hostname: 'h3' }, obstacle: /h3 .* nobody listens/ })
})

const done = (dbid: number): ActionResult => ({ dbid, content: 0, outcome: 'done', message: '' })

t.test('work on a content excludes other work on it; the same is followed', async (t) => {
  const list = new WorkList()
  let end: (result: ActionResult) => void = () => undefined
  let begun = 0
  const work = () => {
    begun += 1
    return new Promise<ActionResult>((resolve) => (end = resolve))
  }
  const first = list.do(0, 'move to dbid 6', work)
  const again = list.do(0, 'move to dbid 6', work)
  t.equal(begun, 1, 'it is not begun twice')
  await t.rejects(list.do(0, 'recovery of dbid 4', work), {
    code: 'busy',
    message: /Found move to dbid 6 running for segments with contentIds \[0\], skipping recovery of dbid 4/,
  })
  end(done(6))
  t.same(await Promise.all([first, again]), [done(6), done(6)])
  t.equal(list.runningOn(0), undefined)
  const failing = list.do(0, 'x', () => Promise.reject(new Error('no')))
  await t.rejects(failing, /no/)
  t.equal(list.runningOn(0), undefined, 'a failure ends the work, too')
})

t.test('not more than so many at a time, results in the order asked for', async (t) => {
  let running = 0
  let most = 0
  const results = await inParallel([3, 1, 2, 0], 2, async (turns) => {
    most = Math.max(most, ++running)
    for (let i = 0; i <= turns; i += 1) await Promise.resolve()
    running -= 1
    return turns
  })
  t.same(results, [3, 1, 2, 0])
  t.equal(most, 2)
})
