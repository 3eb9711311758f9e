/**
 * The walreceiver of a mirror: connects to the primary, makes sure that it is the right one, streams WAL into the folder of received WAL.
 *
 * Started by the instance actor of a mirror; runs until `stop`, or until its machine gives up (diverged, removed, foreign, broken), which `onState`
 * tells. Promises: only WAL that is checked and durable is acknowledged (I8), acknowledged WAL is never overwritten with other bytes
 * (I5), and every wait ends (I10): requests time out, a silent sender is dropped after `wal_receiver_timeout`, attempts are repeated.
 */
import { formatLsn, MirabelleError } from '@mirabelle/messages'
import type { Lsn, Message, MessageOf, Timeline } from '@mirabelle/messages'
import { createDecider, type Connection, type Decider, type Timer } from '@mirabelle/runtime'
import type {
  SettledAnswer,
  SettledKnown,
  WalPositions,
  WalReceiver,
  WalReceiverOptions,
  WalReceiverState,
  WalReceiverStopped,
} from '../api.ts'
import { DEFAULT_SEGMENT_SIZE } from '../format/constants.ts'
import { judgeStart } from '../protocol/judge-start.ts'
import { SilenceWatch } from '../protocol/silence-watch.ts'
import { checkSender } from './check-sender.ts'
import { expectRoom } from './expect-room.ts'
import { fetchHistories } from './fetch-histories.ts'
import { ReceivedEnd } from './received-end.ts'
import { ReceivedWal } from './received-wal.ts'
import { receiverError } from './receiver-error.ts'
import { retryPause } from './retry-pause.ts'
import { SettledStore } from './settled-store.ts'
import { syncNewestSegments } from './sync-newest-segments.ts'
import { walReceiverMachine } from './wal-receiver.machine.ts'
import type { WalReceiverEvent } from './wal-receiver.machine.ts'

/** Frames that may come before the answer to wal.start was handled. */
const MAX_EARLY = 1_000
/** The part of `wal_receiver_timeout` after which a walsender that says nothing is asked for a word. */
const ASK_AFTER = 3 / 4
/** A frame carries at most 1 MiB; more is a mistake of the sender. */
const MAX_FRAME_WAL = 4 * 1024 * 1024

/** Starts a walreceiver. */
export function createWalReceiver(options: WalReceiverOptions): WalReceiver {
  return new Receiver(options)
}

class Receiver implements WalReceiver {
  readonly #options: WalReceiverOptions
  readonly #segmentSize: number
  readonly #decider: Decider<typeof walReceiverMachine>
  readonly #settled = new SettledStore()
  #peer: WalReceiverOptions['peer']
  readonly #end: ReceivedEnd
  #senderEnd: Lsn = 0
  #senderTimeline: Timeline = 0
  #connection: Connection | undefined
  #received: ReceivedWal | undefined
  #closing: Promise<void> = Promise.resolve()
  /** Grows with each attempt: what belongs to an older one is dropped. */
  #attempt = 0
  #early: MessageOf<'wal.data'>[] = []
  #newestSentAt = 0
  #watch: SilenceWatch | undefined
  #timer: Timer | undefined
  #synced = false
  #onStopped: ((stopped: WalReceiverStopped) => void) | undefined
  #stopped: Promise<WalReceiverStopped> | undefined

  constructor(options: WalReceiverOptions) {
    this.#options = options
    this.#segmentSize = options.segmentSize ?? DEFAULT_SEGMENT_SIZE
    this.#peer = options.peer
    this.#end = new ReceivedEnd(options.start)
    const { content, dbid } = options.identity
    this.#decider = createDecider(walReceiverMachine, {
      log: options.ports.log,
      subject: { actor: 'walreceiver', content, dbid },
      facts: ({ context }) => ({
        lsn: formatLsn(this.#end.durable.end),
        timeline: this.#end.timeline,
        ...(context.reason === null ? {} : { error: context.reason.message }),
      }),
      ignorable: ['connected', 'identified', 'started', 'failed', 'retry', 'peerChanged', 'stop', 'closed'],
    })
    this.#perform(this.#decider.initialActions)
  }

  get state(): WalReceiverState {
    return this.#decider.state as WalReceiverState
  }

  get reason(): MirabelleError | null {
    return this.#decider.context.reason
  }

  positions(): WalPositions {
    const end = this.#end.durable.end
    return {
      timeline: this.#end.timeline,
      writeLsn: Math.max(this.#received?.writtenEnd ?? end, this.#end.flushLsn),
      flushLsn: this.#end.flushLsn,
      validEnd: Math.max(this.#received?.validEnd ?? end, end),
      senderEnd: this.#senderEnd,
    }
  }

  settledLookup(incarnation: string, seqs: readonly number[]): SettledAnswer {
    return this.#settled.lookup(incarnation, seqs, this.positions().validEnd)
  }

  settledKnown(): SettledKnown {
    return this.#settled.known(this.positions().validEnd)
  }

  setPeer(peer: WalReceiverOptions['peer']): void {
    if (JSON.stringify(peer) === JSON.stringify(this.#peer)) return
    this.#peer = peer
    this.#event({ type: 'peerChanged' })
  }

  stop(): Promise<WalReceiverStopped> {
    this.#stopped ??= new Promise((resolve) => {
      this.#onStopped = resolve
      this.#event({ type: 'stop' })
    })
    return this.#stopped
  }

  #event(event: WalReceiverEvent): void {
    const before = this.state
    const actions = this.#decider.dispatch(event)
    const { state } = this
    if (state !== before) this.#options.onState?.(state, this.reason)
    this.#perform(actions)
  }

  #perform(actions: readonly { readonly type: string }[]): void {
    for (const { type } of actions) {
      if (type === 'connect') this.#run((attempt) => this.#connect(attempt), true)
      else if (type === 'identify') this.#run((attempt) => this.#identify(attempt))
      else if (type === 'askToStart') this.#run((attempt) => this.#askToStart(attempt))
      else if (type === 'beginToStream') this.#beginToStream()
      else if (type === 'waitForRetry') this.#waitForRetry()
      else if (type === 'giveUp') void this.#disconnect()
      else if (type === 'close') void this.#close()
    }
  }

  /** Runs a step of the attempt; its failure is an event of the attempt it belongs to. */
  #run(step: (attempt: number) => Promise<void>, isNew = false): void {
    if (isNew) this.#attempt++
    const attempt = this.#attempt
    step(attempt).catch((error: unknown) => this.#failed(attempt, error))
  }

  #failed(attempt: number, error: unknown, badLsn?: Lsn): void {
    if (attempt !== this.#attempt) return
    const typed = this.#end.meaningOf(receiverError(error, this.#options.identity.dbid), this.#segmentSize)
    this.#event({ type: 'failed', error: typed, ...(badLsn === undefined ? {} : { badLsn }) })
  }

  async #connect(attempt: number): Promise<void> {
    const { ports, identity, settings, walDir } = this.#options
    await this.#disconnect()
    if (this.reason?.code === 'disk.full') await expectRoom(ports.disk, walDir, this.#segmentSize)
    if (!this.#synced) {
      await syncNewestSegments(ports.disk, walDir, this.#segmentSize)
      this.#synced = true
    }
    if (attempt !== this.#attempt) return
    const timeoutMs = settings().wal_receiver_timeout
    const { clusterId, content, dbid } = identity
    const connection = await ports.network.connect(
      this.#peer.endpoint,
      {
        clusterId,
        kind: 'instance',
        dbid,
        content,
        name: `dbid ${dbid}`,
        purpose: 'wal',
        epoch: this.#options.epoch(),
      },
      // No heartbeats: both ends watch the stream itself, by limits that may change while it stands.
      { timeoutMs, silenceTimeoutMs: 0 },
    )
    if (attempt === this.#attempt) this.#end.compareAnew()
    connection.setHandlers({
      onMessage: (message) => {
        if (attempt === this.#attempt) this.#onMessage(attempt, message)
      },
      onClose: (reason) => this.#failed(attempt, reason),
    })
    if (attempt !== this.#attempt) {
      connection.close()
      return
    }
    this.#connection = connection
    this.#early = []
    this.#event({ type: 'connected' })
  }

  async #identify(attempt: number): Promise<void> {
    const { identity, settings, ports, walDir } = this.#options
    const connection = this.#connection as Connection
    const timeoutMs = settings().wal_receiver_timeout
    const sender = await connection.request(
      { type: 'wal.identify', dbid: identity.dbid, content: identity.content },
      timeoutMs,
    )
    if (attempt !== this.#attempt) return
    checkSender(sender, identity, this.#peer.dbid)
    const wish = {
      timeline: this.#end.timeline,
      receivedEnd: this.#end.durable.end,
      startLsn: this.#end.beginOn(sender.timeline, this.#segmentSize, sender.oldestLsn).lsn,
    }
    const refusal = judgeStart(wish, { ...sender, endLsn: sender.flushLsn })
    if (refusal !== undefined) throw refusal
    if (sender.timeline !== this.#end.timeline) {
      await fetchHistories({
        disk: ports.disk,
        dir: walDir,
        connection,
        timeoutMs,
        from: this.#end.timeline,
        sender,
      })
      if (attempt !== this.#attempt) return
    }
    this.#senderTimeline = sender.timeline
    this.#event({ type: 'identified' })
  }

  async #askToStart(attempt: number): Promise<void> {
    const { identity, settings, ports, walDir, ownWal, slot, epoch } = this.#options
    const connection = this.#connection as Connection
    const { begin, durable } = this.#end
    const started = await connection.request(
      {
        type: 'wal.start',
        dbid: identity.dbid,
        content: identity.content,
        slot: slot ?? 'mirror',
        startLsn: begin.lsn,
        receivedEnd: durable.end,
        timeline: this.#end.timeline,
        epoch: epoch(),
      },
      settings().wal_receiver_timeout,
    )
    if (attempt !== this.#attempt) return
    if (started.startLsn !== begin.lsn || started.timeline !== this.#senderTimeline)
      throw new MirabelleError(
        'connection.lost',
        `the sender began at ${formatLsn(started.startLsn)} of timeline ${started.timeline}, asked was ${formatLsn(begin.lsn)} of ${this.#senderTimeline}`,
      )
    const isNewTimeline = this.#end.follow(started.timeline, started.history)
    this.#senderEnd = started.flushLsn
    this.#settled.begin(started.incarnation, started.settledFloor, started.settled)
    this.#received = new ReceivedWal({
      disk: ports.disk,
      dir: walDir,
      ownWal,
      segmentSize: this.#segmentSize,
      timeline: started.timeline,
      history: started.history,
      start: begin.lsn,
      lastRecord: begin.lastRecord,
      ...this.#end.kept,
      onAcknowledged: (lsn) => this.#acknowledged(lsn),
      onProblem: (error, badLsn) => this.#failed(attempt, error, badLsn),
    })
    if (isNewTimeline) this.#options.onTimeline?.(this.#end.timeline, this.#end.history)
    if (attempt === this.#attempt) this.#event({ type: 'started' })
  }

  #beginToStream(): void {
    this.#reply()
    const attempt = this.#attempt
    const { ports, settings } = this.#options
    this.#watch = new SilenceWatch({
      clock: ports.clock,
      timeoutMs: () => settings().wal_receiver_timeout,
      askAfter: ASK_AFTER,
      ask: () => this.#ask(),
      onSilent: (silentMs, timeoutMs) => {
        const who = `walsender of dbid ${this.#peer.dbid}`
        const text = `${who} was silent for ${Math.round(silentMs)} ms (wal_receiver_timeout ${timeoutMs} ms)`
        this.#failed(attempt, new MirabelleError('connection.silent', text))
      },
    })
    for (const message of this.#early.splice(0)) {
      if (attempt === this.#attempt) this.#onData(message)
    }
  }

  #onMessage(attempt: number, message: Message): void {
    this.#watch?.heard()
    if (message.type === 'wal.data') {
      if (this.state === 'streaming') this.#onData(message)
      else if (this.#early.push(message) > MAX_EARLY)
        this.#failed(
          attempt,
          new MirabelleError('queue.full', `${MAX_EARLY} frames of WAL came before the start was answered`),
        )
    } else if (message.type === 'wal.keepalive') {
      this.#senderEnd = Math.max(this.#senderEnd, message.endLsn)
      this.#newestSentAt = message.sentAt
      if (message.replyRequested && this.state === 'streaming') this.#reply()
    } else throw new MirabelleError('message.bad', `a walreceiver does not expect ${message.type}`)
  }

  #onData(message: MessageOf<'wal.data'>): void {
    if (message.bytes.length > MAX_FRAME_WAL)
      throw new MirabelleError('message.bad', `${message.bytes.length} bytes of WAL in one frame`)
    this.#senderEnd = message.endLsn
    this.#newestSentAt = message.sentAt
    this.#settled.told(message.incarnation, message.settledFloor, message.settled)
    this.#received?.push(message.timeline, message.startLsn, message.bytes)
    if (message.settled.length > 0) this.#options.onSettled?.()
  }

  #acknowledged(lsn: Lsn): void {
    const before = this.#end.inOwnFiles
    if (this.#received !== undefined) this.#end.keep(this.#received.durable)
    const isOwnNow = !before && this.#end.inOwnFiles
    if (this.#end.acknowledge(lsn) || isOwnNow)
      this.#options.onFlushed(this.#end.timeline, this.#end.flushLsn)
    if (this.state === 'streaming') this.#reply()
  }

  #reply(): void {
    const { timeline } = this.#end
    const { writeLsn, flushLsn } = this.#end.said(this.#received?.writtenEnd ?? 0)
    const replayLsn = this.#options.replayLsn()
    this.#connection?.send({
      type: 'wal.flushed',
      timeline,
      writeLsn,
      flushLsn,
      replayLsn,
      sentAt: this.#newestSentAt,
    })
  }

  /** A walsender asks by itself, unless its limit is much longer than the one here. */
  #ask(): boolean {
    this.#reply()
    this.#connection?.send({
      type: 'wal.keepalive',
      endLsn: this.#senderEnd,
      sentAt: this.#options.ports.clock.monotonic(),
      replyRequested: true,
    })
    return true
  }

  #waitForRetry(): void {
    const attempt = this.#attempt
    void this.#disconnect()
    const { clock, random } = this.#options.ports
    const pause = retryPause(this.#decider.context.attempts, random.next())
    this.#timer = clock.setTimer(pause, () => {
      if (attempt === this.#attempt) this.#event({ type: 'retry' })
    })
  }

  /** Ends connection and writer of the attempt; what was flushed in the end counts. */
  #disconnect(): Promise<void> {
    this.#timer?.clear()
    this.#watch?.stop()
    const connection = this.#connection
    const received = this.#received
    this.#connection = undefined
    if (connection !== undefined && !connection.closed) connection.close(this.reason ?? undefined)
    if (received !== undefined) {
      this.#closing = this.#closing.then(async () => {
        await received.close()
        if (this.#received === received) this.#received = undefined
        this.#end.keep(received.durable)
      })
    }
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#attempt++
    await this.#disconnect()
    const receivedEnd = this.#end.durable.end
    this.#event({ type: 'closed' })
    this.#onStopped?.({
      timeline: this.#end.timeline,
      history: this.#end.history,
      receivedEnd,
      settled: this.#settled.known(receivedEnd),
    })
  }
}
