/**
 * One walsender: streams WAL to one mirror over one connection.
 *
 * Started by the hub for each accepted connection; ends with the connection, when the hub ends it, when the mirror is silent for
 * `wal_sender_timeout`, or when a newer stream of the same mirror begins. Promises: bytes go out in LSN order without gaps; every frame
 * carries all settled statements known so far, so none travels later than its WAL; memory is bounded: what a slow mirror cannot
 * take is read from files later.
 */
import { formatLsn, MirabelleError } from '@mirabelle/messages'
import type { Lsn, MessageOf, Message, ReplicationRow, Timeline } from '@mirabelle/messages'
import { createDecider } from '@mirabelle/runtime'
import type { Connection, Decider, Hello, Responder } from '@mirabelle/runtime'
import type { PublishedWal, WalSenderState } from '../api.ts'
import { fileTimeline, timelineSpans } from '../format/history.ts'
import type { TimelineSpan } from '../format/history.ts'
import { MAX_WAL_CHUNK } from '../files/wal-files.ts'
import { SilenceWatch } from '../protocol/silence-watch.ts'
import { ReplayLag } from './replay-lag.ts'
import type { HubInside, WalStream } from './hub-inside.ts'
import { walSenderMachine } from './wal-sender.machine.ts'
import type { WalSenderEvent } from './wal-sender.machine.ts'

/** Most bytes sent beyond what the mirror has written. */
const WINDOW = 16 * MAX_WAL_CHUNK
/** Most bytes that wait for the end of a turn, or in the connection, before the stream falls back to files. */
const MAX_WAITING = 4 * MAX_WAL_CHUNK
/** Bytes of one read during catch-up: small enough not to hold up the commits that go on meanwhile. */
const CATCHUP_CHUNK = 256 * 1024
/** The part of `wal_sender_timeout` after which a mirror that says nothing is asked for its status. */
const ASK_AFTER = 1 / 2
const EMPTY = new Uint8Array(0)

export class WalSender implements WalStream {
  readonly connection: Connection
  readonly hello: Hello
  readonly connectedAtMs: number
  flushLsn: Lsn = 0
  readonly #hub: HubInside
  readonly #decider: Decider<typeof walSenderMachine>
  readonly #startedAtMs: number
  #sent: Lsn = 0
  #writeLsn: Lsn = 0
  #replayLsn: Lsn = 0
  /** What the mirror had when it came: replies may be up to here before the bytes were sent again. */
  #hadAtStart: Lsn = 0
  #timeline: Timeline = 0
  #spans: readonly TimelineSpan[] = []
  #pending: Uint8Array[] = []
  #pendingBytes = 0
  #flushPlanned = false
  #settledIndex = 0
  #settledGeneration = -1
  #replyTime = 0
  #lagMs: number | null = null
  readonly #replayLag = new ReplayLag()
  readonly #watch: SilenceWatch
  #wakeUp: (() => void) | undefined

  constructor(hub: HubInside, connection: Connection, hello: Hello) {
    this.#hub = hub
    this.connection = connection
    this.hello = hello
    const { clock, log } = hub.options.ports
    this.connectedAtMs = clock.monotonic()
    this.#startedAtMs = clock.now()
    this.#decider = createDecider(walSenderMachine, {
      log,
      subject: {
        actor: 'walsender',
        content: hub.options.identity.content,
        dbid: hub.options.identity.dbid,
        mirror: hello.dbid,
      },
      facts: () => ({ sent: formatLsn(this.#sent), flushed: formatLsn(this.flushLsn) }),
      ignorable: ['caughtUp', 'fellBehind', 'stop', 'closed'],
    })
    connection.setHandlers({
      onMessage: (message, respond) => this.#onMessage(message, respond),
      onClose: (reason) => this.#event({ type: 'closed', reason }),
    })
    this.#watch = new SilenceWatch({
      clock,
      timeoutMs: () => hub.options.settings().wal_sender_timeout,
      askAfter: ASK_AFTER,
      ask: () => this.#ask(),
      onSilent: (silentMs, timeoutMs) => this.#giveUp(silentMs, timeoutMs),
    })
  }

  get state(): WalSenderState {
    return this.#decider.state as WalSenderState
  }

  get caughtUp(): boolean {
    return this.state === 'streaming' && this.flushLsn >= this.#hub.endLsn
  }

  get sentLsn(): Lsn {
    return this.#sent
  }

  start(message: MessageOf<'wal.start'>, settled: { index: number; generation: number }): void {
    const source = this.#hub.options.state()
    this.#timeline = source.timeline
    this.#spans = timelineSpans(source.history, source.timeline)
    this.#sent = this.#writeLsn = message.startLsn
    this.#hadAtStart = message.receivedEnd
    this.#settledIndex = settled.index
    this.#settledGeneration = settled.generation
    this.#event({ type: 'started' })
  }

  published(wal: PublishedWal): void {
    if (this.state !== 'streaming') return
    const expected = this.#sent + this.#pendingBytes
    const length = wal.end - wal.start
    const fits = this.#pendingBytes + length <= MAX_WAITING
    if (length > 0 && (wal.bytes === undefined || wal.start !== expected || !fits)) {
      this.#event({ type: 'fellBehind' })
      return
    }
    if (length > 0 && wal.bytes !== undefined) {
      this.#pending.push(wal.bytes)
      this.#pendingBytes += length
    }
    if (this.#flushPlanned) return
    this.#flushPlanned = true
    this.#hub.options.ports.clock.soon(() => {
      this.#flushPlanned = false
      if (this.state === 'streaming') this.#sendPending()
    })
  }

  stop(reason: MirabelleError): void {
    if (this.state !== 'ended') this.#event({ type: 'stop', reason })
  }

  row(syncState: 'sync' | 'async'): ReplicationRow {
    const { state } = this
    return {
      pid: process.pid,
      dbid: this.hello.dbid,
      clientAddr: this.connection.remoteAddress,
      clientPort: this.connection.remotePort,
      backendStart: this.#startedAtMs,
      state: state === 'catchup' || state === 'streaming' ? state : 'startup',
      sentLsn: this.#sent,
      writeLsn: this.#writeLsn,
      flushLsn: this.flushLsn,
      replayLsn: this.#replayLsn,
      writeLagMs: this.#lagMs,
      flushLagMs: this.#lagMs,
      replayLagMs: this.#replayLag.lagMs,
      syncState,
      replyTime: this.#replyTime,
    }
  }

  #event(event: WalSenderEvent): void {
    const before = this.state
    const actions = this.#decider.dispatch(event)
    if (this.state !== before) this.#hub.changed(this, this.#decider.context.reason)
    for (const action of actions) {
      if (action.type === 'readFromFiles') void this.#catchUp()
      else if (action.type === 'sendFromMemory') this.#sendPending()
      else if (action.type === 'drainAndClose') void this.#drainAndClose()
      else if (action.type === 'release') this.#release()
    }
  }

  #onMessage(message: Message, respond: Responder | undefined): void {
    this.#watch.heard()
    if (message.type === 'wal.flushed') this.#onFlushed(message)
    else if (message.type === 'wal.keepalive') {
      if (message.replyRequested) this.#sendKeepalive(false)
    } else if (respond !== undefined) this.#hub.answer(this, message, respond)
    else throw new MirabelleError('message.bad', `a walsender does not expect ${message.type}`)
  }

  #onFlushed(message: MessageOf<'wal.flushed'>): void {
    const { clock } = this.#hub.options.ports
    const known = Math.max(this.#sent, this.#hadAtStart)
    if (message.flushLsn > known || message.writeLsn > known)
      throw new MirabelleError(
        'message.bad',
        `dbid ${this.hello.dbid} says it flushed ${formatLsn(message.flushLsn)}, but was sent only WAL up to ${formatLsn(known)}`,
      )
    const now = clock.monotonic()
    this.#writeLsn = Math.max(this.#writeLsn, message.writeLsn)
    this.#replayLsn = message.replayLsn
    this.#replyTime = clock.now()
    if (message.sentAt > 0) this.#lagMs = Math.max(0, now - message.sentAt)
    this.#replayLag.replayed(message.replayLsn, now)
    this.#wake()
    if (message.flushLsn > this.flushLsn) {
      this.flushLsn = message.flushLsn
      this.#hub.flushed(this)
    }
  }

  /** Sends what came in this turn, in frames of at most 1 MiB. */
  #sendPending(): void {
    if (
      this.#pendingBytes > 0 &&
      (this.connection.bufferedBytes > MAX_WAITING || this.#sent - this.#writeLsn > WINDOW)
    ) {
      this.#event({ type: 'fellBehind' })
      return
    }
    const pending = this.#pending
    this.#pending = []
    this.#pendingBytes = 0
    for (const bytes of frames(pending)) this.#sendData(this.#timeline, bytes)
    if (this.#unsentSettled()) this.#sendData(this.#timeline, EMPTY)
  }

  async #catchUp(): Promise<void> {
    const { options } = this.#hub
    this.#pending = []
    this.#pendingBytes = 0
    try {
      while (this.state === 'catchup') {
        if (this.#sent >= this.#hub.endLsn) {
          this.#event({ type: 'caughtUp' })
          return
        }
        if (this.#sent - this.#writeLsn > WINDOW) {
          await new Promise<void>((resolve) => (this.#wakeUp = resolve))
          continue
        }
        if (this.connection.bufferedBytes > MAX_WAL_CHUNK) {
          await this.connection.drained()
          continue
        }
        const from = this.#sent
        const { history } = options.state()
        const to = Math.min(this.#hub.endLsn, from + CATCHUP_CHUNK)
        const bytes = await options.files.read({ timeline: this.#timeline, history, from, to })
        if (this.state !== 'catchup' || this.#sent !== from) return
        this.#sendData(fileTimeline(this.#spans, from, this.#hub.segmentSize), bytes)
      }
    } catch (error) {
      options.ports.log.warn(
        { actor: 'walsender', mirror: this.hello.dbid, lsn: formatLsn(this.#sent), error },
        'reading WAL failed',
      )
      this.stop(
        error instanceof MirabelleError
          ? error
          : new MirabelleError(
              'disk.failed',
              `reading WAL at ${formatLsn(this.#sent)} failed: ${(error as Error).message}`,
              { cause: error },
            ),
      )
    }
  }

  #unsentSettled(): boolean {
    const { ring } = this.#hub
    return this.#settledGeneration !== ring.generation || this.#settledIndex < ring.end
  }

  #sendData(timeline: Timeline, bytes: Uint8Array): void {
    const { ring } = this.#hub
    const now = this.#hub.options.ports.clock.monotonic()
    const settled = ring.since(this.#settledGeneration === ring.generation ? this.#settledIndex : 0)
    this.#settledIndex = ring.end
    this.#settledGeneration = ring.generation
    this.connection.send({
      type: 'wal.data',
      timeline,
      startLsn: this.#sent,
      endLsn: this.#hub.endLsn,
      sentAt: now,
      bytes,
      incarnation: ring.incarnation,
      settledFloor: ring.floor,
      settled,
    })
    this.#sent += bytes.length
    this.#replayLag.sent(this.#sent, now)
  }

  #sendKeepalive(replyRequested: boolean): void {
    const sentAt = this.#hub.options.ports.clock.monotonic()
    this.connection.send({ type: 'wal.keepalive', endLsn: this.#hub.endLsn, sentAt, replyRequested })
  }

  #giveUp(silentMs: number, timeoutMs: number): void {
    const who = `walreceiver of dbid ${this.hello.dbid}`
    const text = `${who} was silent for ${Math.round(silentMs)} ms (wal_sender_timeout ${timeoutMs} ms)`
    const reason = new MirabelleError('connection.silent', text)
    this.#event({ type: 'closed', reason })
    this.connection.close(reason)
  }

  /** The answer says where the mirror is, too. Before the stream begins it is the mirror that asks. */
  #ask(): boolean {
    if (this.state === 'startup') return false
    this.#sendKeepalive(true)
    return true
  }

  async #drainAndClose(): Promise<void> {
    this.#wake()
    const pending = this.#pending
    this.#pending = []
    this.#pendingBytes = 0
    if (!this.connection.closed) {
      for (const bytes of frames(pending)) this.#sendData(this.#timeline, bytes)
      await this.connection.drained()
    }
    const reason =
      this.#decider.context.reason ?? new MirabelleError('connection.lost', 'the stream was ended')
    this.connection.close(reason)
    this.#event({ type: 'closed', reason })
  }

  #release(): void {
    this.#watch.stop()
    this.#pending = []
    this.#pendingBytes = 0
    this.#wake()
  }

  #wake(): void {
    const wakeUp = this.#wakeUp
    this.#wakeUp = undefined
    wakeUp?.()
  }
}

/** Joins pieces into frames of at most 1 MiB; a single piece is passed on as it is. */
function frames(pieces: readonly Uint8Array[]): Uint8Array[] {
  if (pieces.length === 0) return []
  const whole = pieces.length === 1 ? (pieces[0] as Uint8Array) : Buffer.concat(pieces)
  const result: Uint8Array[] = []
  for (let at = 0; at < whole.length; at += MAX_WAL_CHUNK) result.push(whole.subarray(at, at + MAX_WAL_CHUNK))
  return result
}
