/** Plans recoveries, moves and additions of mirrors: where, how, from whom, how many bytes. Asks agents and instances; changes nothing. */
import {
  MirabelleError,
  type Dbid,
  type FolderFacts,
  type MessageOf,
  type MirrorMove,
  type MirrorPlace,
  type MirrorStep,
  type SegmentRow,
} from '@mirabelle/messages'
import { sentence, type AdminSources } from '../admin-sources.ts'
import { recoverySource } from '../recovery-source.ts'
import { chooseMode, type SourceFacts } from './copy-mode.ts'

const AGENT_TIMEOUT_MS = 5_000
/** An agent reads the newest WAL of the folder. */
const INSPECT_TIMEOUT_MS = 60_000
const MAX_DBID = 32_767
const LAST_PORT = 65_535
/** How often an agent is asked for a place that nobody of the plan has. */
const OFFERS = 100

type AgentRows = MessageOf<'agent.statusIs'>['instances']

/** One step per move, in their order. What cannot be done has its `obstacle`; rejects only when the moves contradict the catalog. */
export async function planMirrors(
  request: Omit<MessageOf<'mirrors.plan'>, 'type'>,
  sources: AdminSources,
): Promise<MirrorStep[]> {
  const hosts = new HostBook(sources)
  const steps: MirrorStep[] = []
  for (const move of request.moves) steps.push(await planOne(move, request, hosts, sources))
  refuseConflicts(steps)
  return steps
}

async function planOne(
  move: MirrorMove,
  { mode, look }: Pick<MessageOf<'mirrors.plan'>, 'mode' | 'look'>,
  hosts: HostBook,
  sources: AdminSources,
): Promise<MirrorStep> {
  const { topology } = sources
  const old = move.dbid === null ? null : (topology.row(move.dbid) ?? null)
  if (move.dbid !== null && old?.content !== move.content)
    throw new MirabelleError(
      'wrong.content',
      `dbid ${move.dbid} is not an instance of content ${move.content}`,
    )
  const primary = topology.primary(move.content)
  if (primary === undefined) throw new MirabelleError('wrong.content', `there is no content ${move.content}`)
  const source = { dbid: primary.dbid, hostname: primary.hostname, port: primary.port }
  const asked = move.to === null ? (move.mode ?? mode) : 'full'
  const step = (row: SegmentRow, rest: Partial<MirrorStep>): MirrorStep => ({
    kind: move.kind,
    content: move.content,
    mode: asked,
    oldDbid: move.to === null ? null : move.dbid,
    oldHost: move.to === null ? null : (old?.hostname ?? null),
    row,
    source,
    bytes: null,
    begun: false,
    obstacle: null,
    warning:
      row.hostname === primary.hostname
        ? `Segment is being recovered to the same host as its primary: content ${move.content} on ${row.hostname}`
        : null,
    ...rest,
  })
  const from = await sourceFacts(primary, look, sources)
  if (move.to === null) {
    const row = old as SegmentRow
    if (typeof from === 'string') return step(row, { obstacle: from })
    if (from === null) return step(row, {})
    const target = await inspect(row.hostname, row.dbid, sources).catch(sentence)
    if (typeof target === 'string')
      return step(row, {
        obstacle: `Not recovering segment ${row.dbid} because ${row.hostname} is unreachable: ${target}`,
      })
    return step(row, chooseMode(asked, target, from))
  }
  try {
    const { row, begun } = await hosts.place(move, move.to, old)
    if (typeof from === 'string') return step(row, { obstacle: from, begun })
    return step(row, { bytes: from === null ? null : from.folder.baseBytes, begun })
  } catch (error) {
    // Nothing has been made: the one that stays where it is tells which is meant.
    const nowhere = rowAt(move, move.to, old, old?.dbid ?? 0, {
      datadir: move.to.datadir ?? '',
      port: move.to.port ?? 0,
      addresses: [],
    })
    return step(nowhere, { obstacle: sentence(error) })
  }
}

/** The primary that everything is copied from; a sentence when it cannot give anything now; null when it can and no more is wanted. */
async function sourceFacts(
  primary: SegmentRow,
  look: boolean,
  sources: AdminSources,
): Promise<SourceFacts | string | null> {
  const { content, hostname } = primary
  const status = await recoverySource(primary, sources)
  if (typeof status === 'string') return status
  if (!look) return null
  try {
    const folder = await inspect(hostname, primary.dbid, sources)
    if (folder === null) return `the agent of ${hostname} does not know dbid ${primary.dbid}`
    return { folder, timeline: status.timeline, flushLsn: status.flushLsn }
  } catch (error) {
    return `The recovery source segment ${hostname} (content ${content}) is unreachable: ${sentence(error)}`
  }
}

/** What lies in the folder of an instance; null when the agent of the host does not know it. */
export async function inspect(
  hostname: string,
  dbid: Dbid,
  { links }: AdminSources,
  countFrom: number | null = null,
): Promise<FolderFacts | null> {
  const { folder } = await links
    .agent(hostname)
    .request({ type: 'agent.inspect', dbid, countFrom }, INSPECT_TIMEOUT_MS)
  return folder
}

/** Two steps must not meet (Greenplum's words). */
function refuseConflicts(steps: readonly MirrorStep[]): void {
  const seen = new Map<string, MirrorStep>()
  for (const step of steps) {
    if (step.obstacle !== null) continue
    const { hostname, datadir, port, address, dbid } = step.row
    for (const key of [`${hostname}|${datadir}`, `${address}|${port}`]) {
      const other = seen.get(key)
      seen.set(key, step)
      if (other === undefined) continue
      const what = key.endsWith(`|${datadir}`) ? `data directory '${datadir}'` : `port ${port}`
      throw new MirabelleError(
        'not.ready',
        `Segment dbid's ${other.row.dbid} and ${dbid} on host ${hostname} cannot have the same ${what}.`,
      )
    }
  }
}

/** Above all that are used: free ones lie together there. The agent offers another one when somebody listens there. */
function nextPort(used: ReadonlySet<number>, turn: number): number | null {
  const next = Math.max(...used) + 1 + turn
  return next > LAST_PORT ? null : next
}

interface Spot {
  readonly datadir: string
  readonly port: number
  readonly addresses: readonly string[]
}

function rowAt(
  move: MirrorMove,
  to: MirrorPlace,
  old: SegmentRow | null,
  dbid: Dbid,
  spot: Spot,
): SegmentRow {
  return {
    dbid,
    content: move.content,
    role: 'm',
    preferredRole: old?.preferredRole ?? 'm',
    mode: 'n',
    status: 'd',
    port: spot.port,
    hostname: to.hostname,
    address: to.address ?? spot.addresses[0] ?? '',
    datadir: spot.datadir,
    endpoint: { addresses: spot.addresses, port: spot.port },
  }
}

/** Places on hosts, for one plan: asks each agent once what it has, and gives no place and no dbid away twice. */
class HostBook {
  readonly #sources: AdminSources
  readonly #agents = new Map<string, AgentRows>()
  readonly #taken = new Map<string, Spot[]>()
  #dbid: Dbid

  constructor(sources: AdminSources) {
    this.#sources = sources
    this.#dbid = sources.topology.lastDbid
  }

  /** The place of a new mirror: one that an interrupted run has begun to fill, else what was asked for, else a free one. */
  async place(
    move: MirrorMove,
    to: MirrorPlace,
    old: SegmentRow | null,
  ): Promise<{ row: SegmentRow; begun: boolean }> {
    const { topology } = this.#sources
    const host = topology.host(to.hostname)
    if (host === undefined)
      throw new MirabelleError(
        'not.ready',
        `there is no host ${to.hostname}; the hosts are ${topology.hosts.map(({ hostname }) => hostname).join(', ')}`,
      )
    const known = await this.#instancesOf(to.hostname, move)
    const begun = known.find(
      (one) =>
        one.content === move.content &&
        topology.row(one.dbid) === undefined &&
        (to.datadir === null
          ? one.dataRole !== 'p' && !this.#isTaken(to.hostname, one.datadir)
          : one.datadir === to.datadir) &&
        (to.port === null || one.endpoint.port === to.port),
    )
    if (begun !== undefined) {
      const spot = { datadir: begun.datadir, port: begun.endpoint.port, addresses: begun.endpoint.addresses }
      this.#take(to.hostname, spot)
      return { row: rowAt(move, to, old, begun.dbid, spot), begun: true }
    }
    const addresses =
      to.address === null
        ? host.agent.addresses
        : [to.address, ...host.agent.addresses.filter((one) => one !== to.address)]
    // One that is down and gets another folder may keep its port.
    const leaves = old?.status === 'd' ? old.dbid : null
    const spot = { ...(await this.#freeSpot(move, to, addresses, leaves)), addresses }
    this.#take(to.hostname, spot)
    this.#dbid += 1
    if (this.#dbid > MAX_DBID)
      throw new MirabelleError('not.ready', `there is no dbid left for a mirror (${MAX_DBID} is the highest)`)
    return { row: rowAt(move, to, old, this.#dbid, spot), begun: false }
  }

  /** Folder and port as asked for, or what the agent offers, as long as nobody of this plan and no row of the catalog has it. */
  async #freeSpot(
    { content }: MirrorMove,
    { hostname, datadir, port }: MirrorPlace,
    addresses: readonly string[],
    leaves: Dbid | null,
  ): Promise<{ datadir: string; port: number }> {
    const used = this.#usedPorts(addresses, leaves)
    for (let turn = 0; turn < OFFERS; turn += 1) {
      const offer = await this.#sources.links.agent(hostname).request(
        {
          type: 'agent.offerPlace',
          folder: turn === 0 ? `mirror${content}` : `mirror${content}-${this.#dbid + turn}`,
          datadir,
          ports: [port ?? nextPort(used, turn)],
        },
        AGENT_TIMEOUT_MS,
      )
      const offered = { datadir: offer.datadir, port: offer.ports[0] ?? 0 }
      if (port !== null && (offered.port !== port || used.has(port)))
        throw new MirabelleError('not.ready', `port ${port} on host ${hostname} is in use`)
      if (port === null && used.has(offered.port)) continue
      if (datadir === null && this.#isTaken(hostname, offered.datadir)) continue
      return offered
    }
    throw new MirabelleError(
      'not.ready',
      `the agent of ${hostname} offers no place for a mirror of content ${content}`,
    )
  }

  /** On localhost several hosts share an address. */
  #usedPorts(addresses: readonly string[], leaves: Dbid | null): Set<number> {
    const rows = this.#sources.topology
      .rows()
      .filter(({ dbid }) => dbid !== leaves)
      .map((row) => [row.endpoint.addresses, [row.port, row.endpoint.port]] as const)
    const spots = [...this.#taken.values()].flat().map((spot) => [spot.addresses, [spot.port]] as const)
    const hosts = this.#sources.topology.hosts.map(({ agent }) => [agent.addresses, [agent.port]] as const)
    const here = [...rows, ...spots, ...hosts].filter(([theirs]) =>
      theirs.some((one) => addresses.includes(one)),
    )
    return new Set(here.flatMap(([, ports]) => ports))
  }

  async #instancesOf(hostname: string, { content }: MirrorMove): Promise<AgentRows> {
    const known = this.#agents.get(hostname)
    if (known !== undefined) return known
    try {
      const { instances } = await this.#sources.links
        .agent(hostname)
        .request({ type: 'agent.status' }, AGENT_TIMEOUT_MS)
      this.#agents.set(hostname, instances)
      // Also above what hosts remember of clusters' pasts that no catalog knows.
      this.#dbid = Math.max(this.#dbid, ...instances.map(({ dbid }) => dbid))
      return instances
    } catch (error) {
      throw new MirabelleError(
        'not.ready',
        `The recovery target segment ${hostname} (content ${content}) is unreachable: ${sentence(error)}`,
        { cause: error },
      )
    }
  }

  #isTaken(hostname: string, datadir: string): boolean {
    return (this.#taken.get(hostname) ?? []).some((one) => one.datadir === datadir)
  }

  #take(hostname: string, spot: Spot): void {
    this.#taken.set(hostname, [...(this.#taken.get(hostname) ?? []), spot])
  }
}
