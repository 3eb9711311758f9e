/** A dry run of the way out of a double fault: what would be done is said, and nothing is. */
import t from 'tap'
import type { FolderFacts, Message, SegmentRow } from '@mirabelle/messages'
import { silentLogger, type Hello } from '@mirabelle/runtime'
import { reviveContents } from '../src/ha/mirrors/revive.ts'
import { WorkList } from '../src/ha/mirrors/work-list.ts'
import type { RebalanceSources } from '../src/ha/rebalance.ts'
import { SegmentLinks } from '../src/ha/segment-links.ts'
import { Topology } from '../src/ha/topology.ts'
import { FakeNetwork } from './support/fake-network.ts'
import { fakePorts } from './support/fake-ports.ts'
import { ManualClock } from './support/manual-clock.ts'

const AGENT = 9001
const row = (dbid: number, role: 'p' | 'm', over: Partial<SegmentRow> = {}): SegmentRow => ({
  dbid,
  content: 0,
  role,
  preferredRole: role,
  mode: 'n',
  status: 'u',
  port: 8000 + dbid,
  hostname: 'h',
  address: '127.0.0.1',
  datadir: `/data/${dbid}`,
  endpoint: { addresses: ['127.0.0.1'], port: 8000 + dbid },
  ...over,
})
const folder = (dbid: number, over: Partial<FolderFacts> = {}): FolderFacts => ({
  dbid,
  content: 0,
  datadir: `/data/${dbid}`,
  endpoint: { addresses: ['127.0.0.1'], port: 8000 + dbid },
  pid: null,
  hasBase: true,
  copying: null,
  dataRole: dbid === 2 ? 'p' : 'm',
  wal: { timeline: 1, history: [], startLsn: 0, endLsn: 100, damaged: false },
  baseBytes: 1,
  divergedBytes: 0,
  commits: null,
  ...over,
})

/** What a look says when the folders are these; nobody answers but the agent. */
async function look(
  rows: readonly SegmentRow[],
  folders: readonly FolderFacts[],
  acceptDataLoss: readonly number[] = [],
) {
  const clock = new ManualClock()
  const network = new FakeNetwork(clock)
  const topology = new Topology(
    {
      clusterId: 'c',
      epoch: 1,
      mirroring: 'group',
      rows,
      hosts: [{ hostname: 'h', agent: { addresses: ['127.0.0.1'], port: AGENT } }],
      settings: {},
    },
    {
      load: () => Promise.reject(new Error('unused')),
      change: () => Promise.reject(new Error('the catalog is changed')),
    },
  )
  network.answers.set(AGENT, (message): Message | undefined => {
    if (message.type !== 'agent.inspect') throw new Error(`${message.type} is no look`)
    const found = folders.find(({ dbid }) => dbid === message.dbid) ?? null
    const commits = message.countFrom === null ? null : 7
    return { type: 'agent.inspected', folder: found === null ? null : { ...found, commits } }
  })
  const sources: RebalanceSources = {
    topology,
    links: new SegmentLinks({
      ports: fakePorts(clock, { network }),
      topology,
      hello: () => ({}) as Hello,
      onDeath() {},
      onInstanceLost() {},
    }),
    fts: () => undefined,
    clock,
    log: silentLogger,
    ownDbid: 1,
    work: new WorkList(),
    dispatcher: { lane: () => Promise.reject(new Error('unused')) as never },
    aim: () => undefined,
  }
  return reviveContents({ acceptDataLoss, stallMs: 1_000, look: true }, sources)
}

t.test('the copy that would serve is named, with what would be lost', async (t) => {
  const rows = [row(2, 'p'), row(3, 'm', { status: 'd' })]
  const lost = folder(2, { hasBase: false })
  t.match(await look(rows, [folder(2), folder(3)]), [
    { dbid: 2, content: 0, outcome: 'skipped', message: 'would be started again as primary' },
  ])
  t.match(await look(rows, [lost, folder(3)]), [
    { dbid: 2, outcome: 'failed', message: /lacks 7 transaction\(s\).*--accept-data-loss 0/ },
  ])
  t.match(await look(rows, [lost, folder(3)], [0]), [
    {
      dbid: 3,
      outcome: 'skipped',
      message: /^would act as primary instead of dbid 2: accepted loss: it lacks 7/,
    },
  ])
  const inSync = [row(2, 'p', { mode: 's' }), row(3, 'm', { mode: 's' })]
  t.match(await look(inSync, [lost, folder(3)]), [
    { dbid: 3, outcome: 'skipped', message: /nothing is lost, it was in sync/ },
  ])
  const newer = folder(3, { wal: { timeline: 2, history: [], startLsn: 0, endLsn: 100, damaged: false } })
  t.match(await look(rows, [folder(2), newer]), [
    { dbid: 3, outcome: 'skipped', message: /nothing is lost, its timeline is newer/ },
  ])
})
