/** Which instance of content -1 `start` takes for the coordinator, when none acts. */
import t from 'tap'
import type { AgentInstanceRow, SegmentRow } from '@mirabelle/messages'
import type { AgentAnswer } from '../src/cluster/agents.ts'
import type { Cluster } from '../src/cluster/cluster.ts'
import { newestCoordinator } from '../src/cluster/start-cluster.ts'
import type { ClusterFile } from '../src/folder/cluster-file.ts'

const rows = [
  { dbid: 1, content: -1 },
  { dbid: 2, content: 0 },
  { dbid: 6, content: -1 },
] as SegmentRow[]

type Seen = Partial<AgentInstanceRow> & { readonly dbid: number }
const coordinator: Seen = { dbid: 1, dataRole: 'p', promisedEpoch: 1 }
const segment: Seen = { dbid: 2, dataRole: 'p', promisedEpoch: 1 }
const standby: Seen = { dbid: 6, dataRole: 'm', promisedEpoch: 1 }

/** The dbid that is started, when the description says this and the agents know that. */
function chosen(file: Partial<ClusterFile>, ...instances: readonly Seen[]): number {
  const all = { coordinatorDbid: 1, standbyDbid: 6, activatingDbid: null, epoch: 1, rows, ...file }
  const cluster = {
    folder: {
      file: all,
      coordinators: rows.filter(({ content }) => content === -1),
      row: (dbid: number) => rows.find((one) => one.dbid === dbid),
    },
  } as unknown as Cluster
  return newestCoordinator(cluster, [{ status: { instances } } as unknown as AgentAnswer]).dbid
}

t.test('the one that the description names, unless another was coordinator after it', async (t) => {
  t.equal(chosen({}, coordinator, segment, standby), 1)
  t.equal(chosen({}, coordinator, segment, { ...standby, dataRole: 'p', promisedEpoch: 2 }), 6)
})

t.test('an activation that has begun is completed', async (t) => {
  const begun = { activatingDbid: 6 }
  t.equal(chosen(begun, coordinator, segment, { ...standby, dataRole: 'p' }), 6, 'its folder is a primary’s')
  t.equal(chosen(begun, coordinator, { ...segment, promisedEpoch: 2 }, standby), 6, 'a segment obeys it')
  t.equal(chosen(begun, coordinator, segment, { ...standby, promisedEpoch: 2 }), 6, 'it has promised itself')
  t.equal(chosen(begun, coordinator, segment), 6, 'its host is silent: nobody knows how far it came')
})

t.test(
  'one that was only asked for is not: nobody has looked whether that standby has everything',
  async (t) => {
    t.equal(chosen({ activatingDbid: 6 }, coordinator, segment, standby), 1)
    t.equal(
      chosen({ activatingDbid: 5 }, coordinator, segment, standby),
      1,
      'nor one of an instance of the past',
    )
  },
)
