/** What the description of a cluster says when `standby init` is refused. */
import t from 'tap'
import { MirabelleError, type SegmentRow } from '@mirabelle/messages'
import type { Cluster } from '../src/cluster/cluster.ts'
import { initStandby } from '../src/cluster/standby-admin.ts'
import type { ClusterFile } from '../src/folder/cluster-file.ts'
import { silentReporter } from '../src/terminal/reporter.ts'

const row = (dbid: number, content: number, role: 'p' | 'm'): SegmentRow => ({
  dbid,
  content,
  role,
  preferredRole: role,
  mode: 'n',
  status: 'u',
  port: dbid,
  hostname: 'h',
  address: 'h',
  datadir: `/d/${dbid}`,
  endpoint: { addresses: ['h'], port: dbid },
})
const nowhere = { host: null, port: null, datadir: null }

/** Runs an init of dbid 10 that the coordinator refuses; resolves with what the description says then. */
async function refused(catalog: readonly SegmentRow[] | undefined): Promise<ClusterFile> {
  let file = {
    local: false,
    hosts: [],
    rows: [row(1, -1, 'p'), row(2, 0, 'p'), row(7, -1, 'm')],
    coordinatorDbid: 1,
    standbyDbid: null,
  } as unknown as ClusterFile
  const refuse = (code: 'busy' | 'timeout') => Promise.reject(new MirabelleError(code, 'no'))
  const answers: Record<string, () => unknown> = {
    'instance.status': () => ({ dbid: 1, roleState: 'primary', epoch: 1, copy: null, detail: '' }),
    'standby.plan': () => ({ row: row(10, -1, 'm'), begun: false }),
    'standby.init': () => refuse('busy'),
    'cluster.catalog': () =>
      catalog === undefined ? refuse('timeout') : { rows: catalog, mirroring: 'none' },
  }
  const cluster = {
    folder: {
      get file() {
        return file
      },
      get coordinators() {
        return file.rows.filter(({ content }) => content === -1)
      },
      update: (changes: unknown) => {
        const made = typeof changes === 'function' ? (changes as (now: ClusterFile) => object)(file) : changes
        file = { ...file, ...(made as object) }
        return Promise.resolve()
      },
    },
    control: { ask: (_endpoint: unknown, { type }: { type: string }) => Promise.resolve(answers[type]?.()) },
    clock: { monotonic: () => 0, now: () => 0, setTimer: () => ({ clear: () => undefined }) },
    reporter: silentReporter,
  } as unknown as Cluster
  await t.rejects(initStandby(cluster, nowhere), { code: 'busy' })
  return file
}
const dbids = ({ rows }: ClusterFile) => rows.map(({ dbid }) => dbid)

t.test('a standby that was refused is not described', async (test) => {
  const none = await refused([row(1, -1, 'p'), row(2, 0, 'p')])
  test.same([none.standbyDbid, none.makingStandbyDbid, dbids(none)], [null, null, [1, 2, 7]])
  const other = await refused([row(1, -1, 'p'), row(2, 0, 'p'), row(9, -1, 'm')])
  test.same([other.standbyDbid, dbids(other)], [9, [1, 2, 9]], 'but the one that another command makes')
})

t.test('one that may have been begun stays described', async (test) => {
  const begun = await refused([row(1, -1, 'p'), row(10, -1, 'm'), row(2, 0, 'p')])
  test.same([begun.standbyDbid, begun.makingStandbyDbid], [10, 10])
  test.same([(await refused(undefined)).standbyDbid], [10])
})
