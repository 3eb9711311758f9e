/**
 * All walsenders of one instance: takes their connections over, grants or refuses their starts, hands published WAL to them and
 * remembers how the mirror was when it went.
 *
 * Made by the instance actor, ends with `stop`. While the instance is a mirror it answers wal.identify and refuses wal.start.
 */
import { isMirabelleError, MirabelleError } from '@mirabelle/messages'
import type {
  Dbid,
  Lsn,
  Message,
  MessageOf,
  ReplicationRow,
  SettledEntry,
  Timeline,
} from '@mirabelle/messages'
import type { Connection, Hello, Responder } from '@mirabelle/runtime'
import type { MirrorStatus, PublishedWal, SettledKnown, WalSenderHub, WalSenderHubOptions } from '../api.ts'
import { DEFAULT_SEGMENT_SIZE } from '../format/constants.ts'
import { judgeStart } from '../protocol/judge-start.ts'
import type { HubInside, WalStream } from './hub-inside.ts'
import { SettledRing } from './settled-ring.ts'
import { WalSender } from './wal-sender.actor.ts'

const DEFAULT_LIMIT = { entries: 4096, bytes: 1024 * 1024 }
/** Connections at a time, whoever they are: a peer that comes again and again cannot fill the memory. */
const MAX_STREAMS = 16

/** Makes the hub. */
export function createWalSenderHub(options: WalSenderHubOptions): WalSenderHub {
  return new Hub(options)
}

class Hub implements WalSenderHub, HubInside {
  readonly options: WalSenderHubOptions
  readonly segmentSize: number
  readonly ring: SettledRing
  readonly #senders = new Set<WalStream>()
  #timeline: Timeline = 0
  #publishedEnd: Lsn | undefined
  #stopped = false
  #last: { dbid: Dbid; flushLsn: Lsn } = { dbid: 0, flushLsn: 0 }
  #disconnectedAt: number
  #attempts = 0

  constructor(options: WalSenderHubOptions) {
    this.options = options
    this.segmentSize = options.segmentSize ?? DEFAULT_SEGMENT_SIZE
    this.ring = new SettledRing(options.settledLimit ?? DEFAULT_LIMIT)
    this.#disconnectedAt = options.ports.clock.monotonic()
  }

  get endLsn(): Lsn {
    return this.#publishedEnd ?? this.options.state().flushLsn
  }

  accept(connection: Connection, hello: Hello): void {
    if (this.#stopped) throw new MirabelleError('not.ready', `dbid ${this.options.identity.dbid} is stopping`)
    if (this.#senders.size >= MAX_STREAMS)
      throw new MirabelleError(
        'queue.full',
        `dbid ${this.options.identity.dbid} has ${MAX_STREAMS} walsenders already`,
      )
    this.#attempts++
    this.#senders.add(new WalSender(this, connection, hello))
  }

  publish(wal: PublishedWal, settled: readonly SettledEntry[], incarnation: string): void {
    const end = this.#publishedEnd
    const jumped = wal.timeline !== this.#timeline || (end !== undefined && wal.start < end)
    if (end !== undefined && jumped) this.restarted(wal.timeline, wal.start)
    this.#timeline = wal.timeline
    this.#publishedEnd = wal.end
    this.ring.add(incarnation, settled)
    for (const sender of this.#senders) sender.published(wal)
  }

  settledReset(incarnation: string, nextSeq: number): void {
    this.ring.reset(incarnation, nextSeq)
  }

  settledSeed(known: SettledKnown): void {
    this.ring.seed(known)
  }

  settledKnown(): SettledKnown {
    return this.ring.known()
  }

  restarted(timeline: Timeline, end: Lsn): void {
    const reason = new MirabelleError(
      'connection.lost',
      `PostgreSQL was started again; WAL of timeline ${timeline} goes on at another position`,
    )
    const other = timeline !== this.#timeline && this.#timeline !== 0
    this.#timeline = timeline
    this.#publishedEnd = end
    this.ring.truncate(end)
    for (const sender of [...this.#senders]) {
      if (sender.state !== 'startup' && (other || sender.sentLsn > end)) this.#end(sender, reason)
    }
  }

  mirrorStatus(): MirrorStatus {
    const sender = this.#newest()
    if (sender === undefined)
      return {
        attempts: this.#attempts,
        dbid: this.#last.dbid,
        flushLsn: this.#last.flushLsn,
        state: 'none',
        caughtUp: false,
        connectedSince: null,
        disconnectedAt: this.#disconnectedAt,
      }
    const { state } = sender
    const { dbid } = sender.hello
    // Before it says so what it has told on an earlier stream counts; what another mirror has told does not.
    const told = dbid === this.#last.dbid ? this.#last.flushLsn : 0
    return {
      attempts: this.#attempts,
      dbid,
      state: state === 'catchup' || state === 'streaming' ? state : 'startup',
      flushLsn: sender.flushLsn === 0 ? told : sender.flushLsn,
      caughtUp: sender.caughtUp,
      connectedSince: sender.connectedAtMs,
      disconnectedAt: null,
    }
  }

  replicationRows(): ReplicationRow[] {
    const syncState = this.options.syncRep?.() === true ? 'sync' : 'async'
    return [...this.#senders].map((sender) => sender.row(syncState))
  }

  disconnect(reason: MirabelleError, dbid?: Dbid): void {
    for (const sender of [...this.#senders]) {
      if (dbid === undefined || sender.hello.dbid === dbid) this.#end(sender, reason)
    }
  }

  stop(): void {
    this.#stopped = true
    this.disconnect(
      new MirabelleError('connection.lost', `dbid ${this.options.identity.dbid} stops sending WAL`),
    )
  }

  answer(sender: WalStream, message: Message, respond: Responder): void {
    const answered = this.#answer(sender, message, respond)
    answered.catch((error: unknown) => respond.fail(error))
  }

  flushed(sender: WalStream): void {
    this.#last = { dbid: sender.hello.dbid, flushLsn: sender.flushLsn }
    this.options.listeners.onFlushed(sender.hello.dbid, sender.flushLsn)
  }

  changed(sender: WalStream, reason: MirabelleError | null): void {
    const { state } = sender
    if (state === 'streaming') this.#attempts = 0
    if (state === 'ended') {
      this.#senders.delete(sender)
      if (this.#newest() === undefined) this.#disconnectedAt = this.options.ports.clock.monotonic()
    }
    this.options.listeners.onState?.(sender.hello.dbid, state, reason)
  }

  async #answer(sender: WalStream, message: Message, respond: Responder): Promise<void> {
    switch (message.type) {
      case 'wal.identify':
        await this.#identify(respond as Responder<'wal.identify'>)
        return
      case 'wal.start':
        await this.#start(sender, message, respond as Responder<'wal.start'>)
        return
      case 'wal.history': {
        const bytes = await this.options.files.readHistory(message.timeline)
        if (bytes === undefined)
          throw new MirabelleError(
            'wal.removed',
            `the history file of timeline ${message.timeline} is not there`,
          )
        ;(respond as Responder<'wal.history'>).reply({
          type: 'wal.historyFile',
          timeline: message.timeline,
          bytes,
        })
        return
      }
      default:
        throw new MirabelleError('message.bad', `a walsender does not answer ${message.type}`)
    }
  }

  async #identify(respond: Responder<'wal.identify'>): Promise<void> {
    const { identity, files } = this.options
    const before = this.options.state()
    const oldestLsn = await files.oldestLsn(before.timeline, before.history, this.endLsn)
    const { timeline, history, systemIdentifier, isPrimary } = this.options.state()
    const { clusterId, content, dbid } = identity
    respond.reply({
      type: 'wal.identified',
      clusterId,
      content,
      dbid,
      systemIdentifier,
      timeline,
      flushLsn: this.endLsn,
      oldestLsn,
      history,
      isPrimary,
    })
  }

  async #start(
    sender: WalStream,
    message: MessageOf<'wal.start'>,
    respond: Responder<'wal.start'>,
  ): Promise<void> {
    const { identity, files } = this.options
    const first = this.#source(message)
    const oldestLsn = await files.oldestLsn(first.timeline, first.history, this.endLsn)
    const source = this.#source(message)
    if (sender.state !== 'startup' || sender.connection.closed)
      throw new MirabelleError(
        'message.bad',
        `this connection of dbid ${message.dbid} has started to stream already`,
      )
    const refusal = judgeStart(message, { ...source, endLsn: this.endLsn, oldestLsn })
    if (refusal !== undefined) throw refusal
    for (const older of [...this.#senders]) {
      if (older === sender || older.hello.dbid !== message.dbid) continue
      this.#end(
        older,
        new MirabelleError('connection.lost', `a newer walreceiver of dbid ${message.dbid} has started`),
      )
    }
    // From here on only published WAL counts, so that none leaves before its settled statements are known.
    this.#publishedEnd ??= source.flushLsn
    this.#timeline = source.timeline
    const { ring } = this
    respond.reply({
      type: 'wal.started',
      timeline: source.timeline,
      startLsn: message.startLsn,
      flushLsn: this.endLsn,
      history: source.history,
      incarnation: ring.incarnation,
      settledFloor: ring.floor,
      settled: ring.since(0),
    })
    this.options.ports.log.debug(
      { dbid: identity.dbid, mirror: message.dbid, slot: message.slot },
      'wal.start granted',
    )
    sender.start(message, { index: ring.end, generation: ring.generation })
  }

  #source(message: MessageOf<'wal.start'>): ReturnType<WalSenderHubOptions['state']> {
    const { identity } = this.options
    const source = this.options.state()
    if (message.content !== identity.content || message.dbid === identity.dbid)
      throw new MirabelleError(
        'wrong.content',
        `dbid ${message.dbid} of content ${message.content} asks dbid ${identity.dbid} of content ${identity.content} for WAL`,
      )
    if (!source.isPrimary)
      throw new MirabelleError('not.primary', `dbid ${identity.dbid} does not act as primary`)
    if (message.epoch > source.epoch)
      throw new MirabelleError(
        'epoch.stale',
        `dbid ${message.dbid} has promised epoch ${message.epoch}, dbid ${identity.dbid} knows only ${source.epoch}`,
      )
    if (this.#stopped) throw new MirabelleError('not.ready', `dbid ${identity.dbid} is stopping`)
    if (this.options.mayStream?.(message.dbid) === false)
      throw new MirabelleError(
        'not.ready',
        `dbid ${message.dbid} is not the mirror of dbid ${identity.dbid}: it gets WAL when the catalog says that it is`,
      )
    return source
  }

  #end(sender: WalStream, reason: MirabelleError): void {
    try {
      sender.stop(reason)
    } catch (error) {
      if (!isMirabelleError(error)) throw error
      this.options.ports.log.error({ error }, 'ending a walsender failed')
    }
  }

  /** The stream that counts: the newest one that has not ended, one that streams before one that only connected. */
  #newest(): WalStream | undefined {
    const all = [...this.#senders].filter((sender) => sender.state !== 'ended')
    return all.findLast((sender) => sender.state === 'streaming' || sender.state === 'catchup') ?? all.at(-1)
  }
}
