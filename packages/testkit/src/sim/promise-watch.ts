/**
 * Watches the promises of architecture §4 while a simulation runs: it sees every message when it is sent and looks at the disks, not at what the actors
 * think. Made once a simulation; a broken promise ends the run with a SimFailure.
 */
import type { ClusterSnapshot } from '@mirabelle/coordinator/ha'
import {
  formatLsn,
  type Dbid,
  type Lsn,
  type Message,
  type MessageOf,
  type SegmentRow,
} from '@mirabelle/messages'
import { DurableWatch } from './durable-watch.ts'
import { wrongInPairs } from './pair-rules.ts'
import { walFoldersOf } from './sim-base.ts'
import { hasWholeBase } from './sim-copy.ts'
import { CATALOG_KEY } from './sim-catalog-store.ts'
import type { InstancePlace, RunningInstance, SimCluster } from './sim-cluster.ts'
import type { SimCoordinator } from './sim-coordinator.ts'
import type { SimConnection } from './sim-connection.ts'
import type { SimProcess } from './sim-process.ts'
import { initialCatalog } from './sim-layout.ts'
import { newestTimeline, recoverWal, walBytes, FIRST_LSN } from './sim-wal.ts'
import { SimFailure } from './sim-world.ts'

export class PromiseWatch {
  readonly #cluster: SimCluster
  /** By content: the newest timeline that answered, and who did. */
  readonly #answered = new Map<number, { timeline: number; dbid: Dbid }>()
  /** By primary and mirror: WAL that was found durable up to here. */
  readonly #checked = new Map<string, { timeline: number; lsn: Lsn }>()
  /** Highest epoch that an instance has told anybody it promised. */
  readonly #epochs = new Map<Dbid, number>()
  readonly #catalogs = new Map<string, ClusterSnapshot>()
  /** The durable catalog as last looked at. */
  #catalog: ClusterSnapshot
  /** Answers told while the primary did not wait for its mirror are checked against the catalog once per change. */
  readonly #aloneChecked = new Set<string>()
  readonly #durable: DurableWatch
  /** How far each primary has told anybody of its WAL. */
  readonly #told = new WeakMap<SimProcess, Lsn>()

  constructor(cluster: SimCluster) {
    this.#cluster = cluster
    this.#durable = new DurableWatch(cluster)
    this.#catalog = initialCatalog(cluster.layout)
    cluster.fabric.tap = (from, message) => this.#saw(from, message)
    cluster.fabric.onUnexpected = (process, error) => {
      cluster.world.fail(new SimFailure('uncaught', `${process.name}: ${String(error)}`, error))
    }
  }

  #saw(from: SimConnection, message: Message): void {
    try {
      switch (message.type) {
        case 'query.done':
          this.#onAnswers(from, message)
          return
        case 'dispatch.settledAre':
          this.#onSettled(from, message)
          return
        case 'wal.flushed':
          this.#onFlushed(from, message)
          return
        case 'segment.promote':
          this.#onPromote(message)
          return
        case 'segment.syncRepOff':
          this.#onSyncRepOff(message)
          return
        case 'fts.probed':
          this.#onProbed(from, message)
          return
        case 'epoch.promised':
          this.#onPromised(from, message)
          return
        case 'standby.mark':
          this.#onMark(from, message)
          return
        default:
      }
    } catch (error) {
      this.#cluster.world.fail(error)
    }
  }

  #onAnswers(from: SimConnection, message: MessageOf<'query.done'>): void {
    const running = this.#cluster.instanceIn(from.process)
    // What a host that was frozen says first nobody hears who has given it up.
    if (running === undefined || from.other?.closed === true) return
    const { instance, assignment } = running
    const { content, dbid } = assignment
    const { timeline } = instance
    const last = this.#answered.get(content)
    if (
      last !== undefined &&
      (timeline < last.timeline || (timeline === last.timeline && dbid !== last.dbid))
    )
      throw new SimFailure(
        'I4',
        `${nameOf(running)} answers on timeline ${timeline} after dbid ${last.dbid} has answered on timeline ${last.timeline}`,
      )
    this.#answered.set(content, { timeline, dbid })
    const epoch = (from.peer as { epoch?: number }).epoch ?? 0
    if (epoch < (this.#epochs.get(dbid) ?? 0))
      throw new SimFailure(
        'I4',
        `${nameOf(running)} answers a coordinator of epoch ${epoch} after it has promised epoch ${this.#epochs.get(dbid)}`,
      )
    this.#tells(running, Math.max(...message.items.map(([, lsn]) => lsn)))
  }

  /** What took effect before a failover is told like an answer. */
  #onSettled(from: SimConnection, { settled }: MessageOf<'dispatch.settledAre'>): void {
    const running = this.#cluster.instanceIn(from.process)
    if (running === undefined || settled.length === 0 || from.other?.closed === true) return
    this.#tells(running, Math.max(...settled.map(([, lsn]) => lsn)))
  }

  /** A primary tells of WAL up to `lsn`: it is durable where it has to be. */
  #tells(running: RunningInstance, lsn: Lsn): void {
    const { instance, assignment, process } = running
    const { dbid } = assignment
    const { timeline } = instance
    const what = (): string => `${nameOf(running)} answers`
    this.#told.set(process, Math.max(lsn, this.#told.get(process) ?? 0))
    this.#durableAt(running, dbid, lsn, timeline, what)
    if (instance.gate?.syncRep !== true) return this.#mayAnswerAlone(running, timeline)
    this.#durableAt(running, this.#peerOf(running), lsn, timeline, what)
    if (instance.primary?.hub.replicationRows().length === 0)
      throw new SimFailure(
        'I4',
        `${nameOf(running)} answers while it waits for a mirror that is away, which may have taken its place`,
      )
  }

  /** A client has the answer of a statement on the coordinator's own lane: the same promises hold for content -1. */
  onOwnAnswer(coordinator: SimCoordinator, lsn: Lsn): void {
    try {
      this.#ownAnswer(coordinator, lsn)
    } catch (error) {
      this.#cluster.world.fail(error)
    }
  }

  #ownAnswer({ instance, process }: SimCoordinator, lsn: Lsn): void {
    const { dbid, timeline, assignment, gate } = instance
    const running = this.#cluster.running.get(dbid)
    if (running?.process !== process || gate === undefined) return
    const who = `dbid ${dbid}, the coordinator,`
    this.#told.set(process, Math.max(lsn, this.#told.get(process) ?? 0))
    const what = (): string => `${who} answers`
    this.#durableAt(running, dbid, lsn, timeline, what)
    const { peer } = assignment
    if (peer === null) return
    if (gate.syncRep) return this.#durableAt(running, peer.dbid, lsn, timeline, what)
    // One that is being made cannot take over before its base is whole.
    const place = this.#cluster.places.get(peer.dbid)
    if (place === undefined || !hasWholeBase(this.#cluster, place)) return
    const marks = this.#durable.marks()
    if (marks < this.#durable.marksNeeded)
      throw new SimFailure(
        'I3',
        `${who} goes on without its standby, and only ${marks} segment instances remember that`,
      )
  }

  /** That the standby is behind is taken back only when it has all that anybody was told of. */
  #onMark(from: SimConnection, { stale }: MessageOf<'standby.mark'>): void {
    const running = this.#cluster.instanceIn(from.process)
    if (stale || running === undefined) return
    const { dbid } = running.assignment
    this.#peerHasAllTold(running, `dbid ${dbid} says that its standby is not behind, having told of`)
  }

  /** The other half of its pair has what anybody was told of by this primary; `who` has said so. */
  #peerHasAllTold(running: RunningInstance, who: string): void {
    const { instance, process } = running
    const told = Math.max(instance.gate?.releasedLsn ?? 0, this.#told.get(process) ?? 0)
    if (told > FIRST_LSN) this.#durableAt(running, this.#peerOf(running), told, instance.timeline, () => who)
  }

  /** I1: WAL up to `lsn` of a primary is durable on the disk of `dbid`, byte for byte. */
  #durableAt(running: RunningInstance, dbid: Dbid, lsn: Lsn, timeline: number, what: () => string): void {
    const key = `${running.assignment.dbid}>${dbid}`
    const before = this.#checked.get(key)
    const from = before?.timeline === timeline ? before.lsn : FIRST_LSN
    if (lsn <= from) return
    const row = this.#row(dbid)
    const own = walBytes(
      running.process.host.files,
      walFoldersOf(running.assignment.datadir),
      timeline,
      from,
      lsn,
      false,
    )
    const there = walBytes(
      this.#cluster.host(row.hostname).files,
      walFoldersOf(row.datadir),
      timeline,
      from,
      lsn,
      true,
    )
    const same = own !== undefined && there !== undefined && Buffer.compare(own, there) === 0
    // Bytes between records (padding) are covered by no CRC: then the records decide.
    if (!same && !this.#sameRecords(running, row, timeline, lsn))
      throw new SimFailure(
        'I1',
        `${what()} WAL up to ${formatLsn(lsn)} of timeline ${timeline}, which is not durable at dbid ${dbid} (looked at from ${formatLsn(from)})`,
      )
    this.#checked.set(key, { timeline, lsn })
  }

  #sameRecords(
    { process, assignment }: RunningInstance,
    row: InstancePlace,
    timeline: number,
    lsn: Lsn,
  ): boolean {
    const own = recoverWal(process.host.files, walFoldersOf(assignment.datadir), timeline, lsn)
    const there = recoverWal(
      this.#cluster.host(row.hostname).files,
      walFoldersOf(row.datadir),
      timeline,
      lsn,
      true,
    )
    return own.end === there.end && JSON.stringify(own.records) === JSON.stringify(there.records)
  }

  /** A primary that does not wait for its mirror answers only when the catalog says durably that the pair is not in sync (I2, I3). */
  #mayAnswerAlone({ assignment: { content, dbid } }: RunningInstance, timeline: number): void {
    const key = `${dbid}@${timeline}`
    if (
      this.#aloneChecked.has(key) &&
      this.#catalog.rows.some((row) => row.content === content && row.mode === 'n')
    )
      return
    const pair = this.#durableCatalog().rows.filter((row) => row.content === content)
    if (pair.some((row) => row.mode === 's'))
      throw new SimFailure(
        'I3',
        `dbid ${dbid} of content ${content} answers without its mirror while the catalog says that they are in sync`,
      )
    this.#aloneChecked.add(key)
  }

  /** I8, I1: what a mirror says it has flushed is durable there. */
  #onFlushed(from: SimConnection, message: MessageOf<'wal.flushed'>): void {
    const mirror = this.#cluster.instanceIn(from.process)
    if (mirror === undefined || message.flushLsn <= FIRST_LSN) return
    const primary = this.#cluster.running.get(from.peer.dbid)
    if (primary === undefined || primary.instance.timeline !== message.timeline) return
    this.#durableAt(
      primary,
      mirror.assignment.dbid,
      message.flushLsn,
      message.timeline,
      () => `dbid ${mirror.assignment.dbid} acknowledges`,
    )
  }

  #onPromote(message: MessageOf<'segment.promote'>): void {
    const versions = this.#durableCatalogs()
    const roleIn = (catalog: ClusterSnapshot): SegmentRow | undefined =>
      catalog.rows.find((row) => row.dbid === message.dbid)
    const now = versions.at(-1)
    if (now === undefined || roleIn(now)?.role !== 'p')
      throw new SimFailure(
        'I3',
        `PROMOTE is sent to dbid ${message.dbid}, which the durable catalog does not call primary`,
      )
    const before = versions.findLast((catalog) => roleIn(catalog)?.role === 'm')
    const row = before === undefined ? undefined : roleIn(before)
    if (row !== undefined && (row.mode !== 's' || row.status !== 'u'))
      throw new SimFailure(
        'I2',
        `dbid ${message.dbid} is promoted, but the catalog said mode ${row.mode}, status ${row.status}`,
      )
  }

  /** I2 rests on it: a mirror that lacks anything that anybody was told of is never called in sync, neither by its primary nor in the catalog. */
  #onProbed(from: SimConnection, message: MessageOf<'fts.probed'>): void {
    const running = this.#cluster.instanceIn(from.process)
    if (running !== undefined) this.#durable.probed(running, message.isSyncRepEnabled)
    if (running !== undefined && message.isInSync) this.#durable.inSync(running)
    this.#looksWell()
    if (running === undefined || !(message.isInSync || this.#saysInSync(running))) return
    const { dbid } = running.assignment
    this.#peerHasAllTold(
      running,
      message.isInSync
        ? `dbid ${dbid} calls its mirror in sync, having told of`
        : `the catalog calls the mirror of dbid ${dbid} in sync, which has told of`,
    )
  }

  #looksWell(): void {
    const wrong = wrongInPairs(this.#cluster.coordinator()?.service?.topology.rows() ?? [])
    if (wrong !== undefined) throw new SimFailure('I3', wrong)
  }

  /** The catalog of the acting coordinator has it as a primary in sync with its mirror. */
  #saysInSync({ instance, assignment }: RunningInstance): boolean {
    const topology = this.#cluster.newestTopology()
    const row = topology?.row(assignment.dbid)
    return (
      row?.role === 'p' &&
      row.mode === 's' &&
      topology?.mirror(row.content)?.status === 'u' &&
      instance.roleState === 'primary'
    )
  }

  #onSyncRepOff(message: MessageOf<'segment.syncRepOff'>): void {
    const pair = this.#durableCatalog().rows.filter((row) => row.content === message.content)
    if (pair.some((row) => row.mode !== 'n'))
      throw new SimFailure(
        'I3',
        `SYNCREP_OFF is sent to content ${message.content}, which the durable catalog calls in sync`,
      )
  }

  #onPromised(from: SimConnection, message: MessageOf<'epoch.promised'>): void {
    const running = this.#cluster.instanceIn(from.process)
    if (running === undefined) return
    const { dbid } = running.assignment
    const before = this.#epochs.get(dbid) ?? 0
    if (message.epoch < before)
      throw new SimFailure(
        'I4',
        `dbid ${dbid} says that it promised epoch ${message.epoch}, but it had promised ${before}`,
      )
    this.#epochs.set(dbid, message.epoch)
  }

  #durableCatalog(): ClusterSnapshot {
    return this.#durableCatalogs().at(-1) ?? this.#catalog
  }

  /**
   * Every version of the catalog, oldest first, as they would be found if every host lost its power now: of the content -1 instance
   * with the newest WAL.
   */
  #durableCatalogs(): ClusterSnapshot[] {
    let best: { timeline: number; end: Lsn; texts: string[] } | undefined
    for (const row of this.#cluster.places.values()) {
      if (row.content !== -1) continue
      const { files } = this.#cluster.host(row.hostname)
      const both = walFoldersOf(row.datadir)
      const wal = recoverWal(files, both, newestTimeline(files, both), undefined, true)
      const open = new Map<number, string>()
      const texts: string[] = []
      for (const record of wal.records) {
        if (record.t === 'change' && record.change.op === 'put' && record.change.key === CATALOG_KEY)
          open.set(record.x, record.change.value)
        else if (record.t === 'commit') {
          const text = open.get(record.x)
          if (text !== undefined) texts.push(text)
        }
      }
      const better =
        best === undefined ||
        wal.timeline > best.timeline ||
        (wal.timeline === best.timeline && wal.end > best.end)
      if (better && texts.length > 0) best = { timeline: wal.timeline, end: wal.end, texts }
    }
    const versions = (best?.texts ?? []).map((text) => this.#parsed(text))
    this.#catalog = versions.at(-1) ?? this.#catalog
    return versions
  }

  /** A catalog of these words; each is read once. */
  #parsed(text: string): ClusterSnapshot {
    let catalog = this.#catalogs.get(text)
    if (catalog === undefined) {
      catalog = JSON.parse(text) as ClusterSnapshot
      this.#catalogs.set(text, catalog)
    }
    return catalog
  }

  #row(dbid: Dbid): InstancePlace {
    return this.#cluster.places.get(dbid) as InstancePlace
  }

  /** Whom it has been told to be the other half of its pair. */
  #peerOf({ instance, assignment }: RunningInstance): Dbid {
    const { peer } = instance.assignment
    if (peer === null) throw new SimFailure('I3', `dbid ${assignment.dbid} speaks of a mirror, and has none`)
    return peer.dbid
  }
}

function nameOf({ assignment: { dbid, content } }: RunningInstance): string {
  return `dbid ${dbid} of content ${content}`
}
