/** `host start` on a host that carries more than segments. */
import t from 'tap'
import type { ActionResult, MirrorMove, SegmentRow } from '@mirabelle/messages'
import type { Cluster } from '../src/cluster/cluster.ts'
import { startHost } from '../src/cluster/host-admin.ts'
import { planRecovery } from '../src/commands/recover.ts'
import type { ClusterFile } from '../src/folder/cluster-file.ts'
import { silentReporter } from '../src/terminal/reporter.ts'

const row = (
  dbid: number,
  content: number,
  role: 'p' | 'm',
  hostname: string,
  status: 'u' | 'd' = 'u',
): SegmentRow => ({
  dbid,
  content,
  role,
  preferredRole: role,
  mode: 'n',
  status,
  port: dbid,
  hostname,
  address: 'h',
  datadir: `/d/${dbid}`,
  endpoint: { addresses: ['h'], port: dbid },
})
const catalog = [
  row(1, -1, 'p', 'h1'),
  row(2, 0, 'p', 'h1'),
  row(3, 0, 'm', 'h2', 'd'),
  row(9, -1, 'm', 'h2', 'd'),
]

/** A coordinator that says what its catalog has, and does what it is asked to; `moves` are those that were planned. */
function cluster(described: readonly SegmentRow[] = catalog) {
  const moves: MirrorMove[] = []
  const results: ActionResult[] = []
  let file = { local: false, hosts: [], rows: described, coordinatorDbid: 1 } as unknown as ClusterFile
  const answers: Record<string, (message: { moves: MirrorMove[] }) => unknown> = {
    'instance.status': () => ({ roleState: 'primary', epoch: 1, copy: null, detail: '' }),
    'cluster.start': () => ({ results: [{ dbid: 9, content: -1, outcome: 'failed', message: 'no folder' }] }),
    'cluster.catalog': () => ({ rows: catalog, mirroring: 'group' }),
    'mirrors.plan': (message) => {
      moves.push(...message.moves)
      return {
        steps: message.moves.map(({ content }) => ({
          row: catalog[2],
          content,
          obstacle: null,
          warning: null,
        })),
      }
    },
    'mirrors.make': () => ({ results: [{ dbid: 3, content: 0, outcome: 'done', message: 'in sync' }] }),
  }
  const fake = {
    folder: {
      get file() {
        return file
      },
      coordinators: described.filter(({ content }) => content === -1),
      host: () => undefined,
      row: (dbid: number) => {
        const found = file.rows.find((one) => one.dbid === dbid)
        if (found === undefined) throw new Error(`there is no dbid ${dbid} in cluster.json`)
        return found
      },
      update: (changes: unknown) => {
        const made = typeof changes === 'function' ? (changes as (now: ClusterFile) => object)(file) : changes
        file = { ...file, ...(made as object) }
        return Promise.resolve()
      },
    },
    control: {
      ask: (_endpoint: unknown, message: { type: string; moves: MirrorMove[] }) =>
        Promise.resolve(answers[message.type]?.(message)),
    },
    clock: { monotonic: () => 0, now: () => 0, setTimer: () => ({ clear: () => undefined }) },
    reporter: silentReporter,
  } as unknown as Cluster
  return { fake, moves, results }
}

t.test(
  'a standby coordinator that is not complete does not keep the segments of its host down',
  async (test) => {
    const { fake, moves } = cluster()
    test.match(await startHost(fake, 'h2', 1_000), [
      { dbid: 9, outcome: 'failed' },
      { dbid: 3, outcome: 'done' },
    ])
    test.match(moves, [{ dbid: 3 }])
  },
)

t.test('an instance that only the catalog knows can be named', async (test) => {
  const older = catalog.filter(({ dbid }) => dbid !== 3)
  test.match(await planRecovery(cluster(older).fake, { mode: 'auto', only: [3] }), [{ content: 0 }])
  await test.rejects(planRecovery(cluster().fake, { mode: 'auto', only: [9] }), {
    message: /dbid 9 belongs to the coordinator/,
  })
  await test.rejects(planRecovery(cluster().fake, { mode: 'auto', only: [7] }), {
    message: /there is no dbid 7 in the catalog/,
  })
})
