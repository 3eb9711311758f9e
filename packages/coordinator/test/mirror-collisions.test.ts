/** Two commands that were planned at the same time, and now get into each other's way: a dbid, a place or the work itself is taken by the other one. */
import t from 'tap'
import {
  MirabelleError,
  type AgentInstanceRow,
  type Message,
  type MessageOf,
  type MirrorStep,
  type SegmentRow,
} from '@mirabelle/messages'
import { silentLogger, type Hello } from '@mirabelle/runtime'
import { makeMirrors } from '../src/ha/mirrors/make-mirrors.ts'
import { removeMirrors } from '../src/ha/mirrors/remove-mirrors.ts'
import type { MirrorSources } from '../src/ha/mirrors/mirror-sources.ts'
import { WorkList } from '../src/ha/mirrors/work-list.ts'
import { SegmentLinks } from '../src/ha/segment-links.ts'
import { initStandby } from '../src/ha/standby-admin.ts'
import { Topology } from '../src/ha/topology.ts'
import { FakeNetwork } from './support/fake-network.ts'
import { fakePorts } from './support/fake-ports.ts'
import { ManualClock, settle } from './support/manual-clock.ts'

const AGENTS = { near: 9001, far: 9002, third: 9003 }
const row = (
  dbid: number,
  content: number,
  role: 'p' | 'm',
  hostname: keyof typeof AGENTS,
  over: Partial<SegmentRow> = {},
): SegmentRow => ({
  dbid,
  content,
  role,
  preferredRole: role,
  mode: 's',
  status: 'u',
  port: 7000 + dbid,
  hostname,
  address: '127.0.0.1',
  datadir: `/data/${dbid}`,
  endpoint: { addresses: ['127.0.0.1'], port: 7000 + dbid },
  ...over,
})
const rows = [
  row(1, -1, 'p', 'near'),
  row(2, 0, 'p', 'near'),
  row(3, 1, 'p', 'near'),
  row(4, 0, 'm', 'far'),
  row(5, 1, 'm', 'far'),
]

const move = (content: number, to: SegmentRow): MirrorStep => ({
  kind: 'move',
  content,
  mode: 'full',
  oldDbid: content + 4,
  oldHost: 'far',
  row: to,
  source: null,
  bytes: null,
  begun: false,
  obstacle: null,
  warning: null,
})
const request = (...steps: MirrorStep[]): MessageOf<'mirrors.make'> => ({
  type: 'mirrors.make',
  steps,
  mirroring: null,
  parallel: 4,
  maxRate: null,
  stallMs: 1_000,
})

/** Agents that make what they are told to, on hosts where nothing starts; `made` says what. */
function setUp(recorded: readonly SegmentRow[] = rows) {
  const clock = new ManualClock()
  const network = new FakeNetwork(clock)
  const topology = new Topology(
    {
      clusterId: 'c',
      epoch: 1,
      mirroring: 'group',
      rows: recorded,
      hosts: Object.entries(AGENTS).map(([hostname, port]) => ({
        hostname,
        agent: { addresses: ['127.0.0.1'], port },
      })),
      settings: {},
    },
    { load: () => Promise.reject(new Error('unused')), change: () => Promise.resolve() },
  )
  const made: string[] = []
  /** What is on the hosts besides. */
  const known = new Map<string, AgentInstanceRow[]>()
  for (const [hostname, port] of Object.entries(AGENTS))
    network.answers.set(port, (message: Message): Message | MirabelleError | undefined => {
      if (message.type === 'agent.status')
        return { type: 'agent.statusIs', hostname, pid: 1, instances: known.get(hostname) ?? [] }
      if (message.type === 'agent.stop')
        return { type: 'agent.stopped', dbid: message.dbid, wasRunning: true }
      if (message.type === 'agent.remove') {
        made.push(`dbid ${message.dbid} removed`)
        return { type: 'ok' }
      }
      if (message.type === 'agent.start') return new MirabelleError('not.ready', 'the copy is not complete')
      if (message.type !== 'agent.create') return undefined
      made.push(`dbid ${message.assignment.dbid} of content ${message.assignment.content} on ${hostname}`)
      return { type: 'ok' }
    })
  const links = new SegmentLinks({
    ports: fakePorts(clock, { network }),
    topology,
    hello: () => ({}) as Hello,
    onDeath() {},
    onInstanceLost() {},
  })
  const sources: MirrorSources = {
    topology,
    links,
    fts: () => undefined,
    clock,
    log: silentLogger,
    ownDbid: 1,
    work: new WorkList(),
    rowsChanged() {},
  }
  const standby = {
    ...sources,
    ownStatus: () => ({ replication: [] }) as unknown as MessageOf<'instance.statusIs'>,
    setPeer: () => Promise.resolve(),
  }
  return { clock, network, topology, sources, standby, made, known }
}

t.test('a dbid that another content has got meanwhile is not taken for the finished copy', async (t) => {
  const { sources, topology } = setUp([...rows, row(6, -1, 'm', 'third')])
  t.match(await makeMirrors(request(move(0, row(6, 0, 'm', 'third'))), sources), [
    { dbid: 6, content: 0, outcome: 'failed', message: /the cluster has changed since this was planned/ },
  ])
  t.match(topology.row(6), { content: -1 })
})

t.test('two plans that name the same dbid, folder or port make one instance of it', async (t) => {
  for (const other of [
    row(6, 1, 'm', 'third'),
    row(7, 1, 'm', 'near', { datadir: '/data/6' }),
    row(7, 1, 'm', 'third', { port: 7006, endpoint: { addresses: ['127.0.0.1'], port: 7006 } }),
  ]) {
    const { sources, made } = setUp()
    const first = makeMirrors(request(move(0, row(6, 0, 'm', 'near'))), sources)
    t.match(await makeMirrors(request(move(1, other)), sources), [
      { content: 1, outcome: 'failed', message: /^dbid 6 .* is being made, .* run the same command again/ },
    ])
    await settle()
    t.same(made, ['dbid 6 of content 0 on near'])
    t.match(await first, [{ outcome: 'failed', message: /not complete|no answer/ }])
    t.match(await makeMirrors(request(move(1, row(6, 1, 'm', 'third'))), sources), [
      { outcome: 'failed', message: /dbid 6 is given away: .* run the same command again/ },
    ])
  }
})

t.test('several new ones of one plan do not hinder each other', async (t) => {
  const { sources, made } = setUp()
  const steps = [move(0, row(7, 0, 'm', 'near')), move(1, row(6, 1, 'm', 'third'))]
  const done = makeMirrors(request(...steps), sources)
  await settle()
  t.same(made.sort(), ['dbid 6 of content 1 on third', 'dbid 7 of content 0 on near'])
  await done
})

t.test('a standby coordinator and a mirror do not get one dbid', async (t) => {
  const { sources, standby, topology } = setUp()
  const making = makeMirrors(request(move(0, row(6, 0, 'm', 'near'))), sources)
  await t.rejects(initStandby(row(6, -1, 'm', 'third'), standby), { code: 'busy' })
  await making
  await t.rejects(initStandby(row(6, -1, 'm', 'third'), standby), { message: /dbid 6 is given away/ })
  t.equal(topology.row(6), undefined)
})

t.test('who asks for another place, or another way, is not told that it is done', async (t) => {
  const { sources } = setUp()
  const first = makeMirrors(request(move(0, row(6, 0, 'm', 'near'))), sources)
  const recovery = (mode: MirrorStep['mode']): MirrorStep => {
    return { ...move(0, row(4, 0, 'm', 'far')), kind: 'recover', mode, oldDbid: null, oldHost: null }
  }
  t.match(await makeMirrors(request(move(0, row(7, 0, 'm', 'third'))), sources), [
    { outcome: 'failed', message: /Found move to dbid 6 on near:7006 running/ },
  ])
  await first
  const running = makeMirrors(request(recovery('auto')), sources)
  t.match(await makeMirrors(request(recovery('full')), sources), [
    {
      outcome: 'failed',
      message: /Found recovery of dbid 4 running .* skipping recovery of dbid 4 \(full\)/,
    },
  ])
  await running
})

t.test('a removal of all mirrors does not take one away that another command makes', async (t) => {
  const { sources, made, known, network } = setUp(rows.filter(({ role }) => role === 'p'))
  const left = { content: 1, pid: null, datadir: '/data/8' }
  known.set('far', [{ ...left, dbid: 8 } as AgentInstanceRow])
  known.set('near', [{ ...left, dbid: 6, content: 0, datadir: '/data/6' } as AgentInstanceRow])
  const told: number[] = []
  for (const dbid of [2, 3])
    network.answers.set(7000 + dbid, ({ type }) => {
      told.push(dbid)
      return { type: type === 'segment.syncRepOff' ? 'fts.probed' : 'ok' } as Message
    })
  let ended = (): void => undefined
  const making = sources.work.do(
    0,
    'making of dbid 6',
    () => new Promise<void>((resolve) => (ended = resolve)),
  )
  t.match(await removeMirrors(sources), [
    { dbid: 2, content: 0, outcome: 'failed', message: /Found making of dbid 6 running/ },
    { dbid: 8, content: 1, outcome: 'done' },
  ])
  t.same([...new Set(told)], [3], 'nor is its primary told anything')
  t.same(made, ['dbid 8 removed'])
  ended()
  await making
})
