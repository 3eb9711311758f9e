/**
 * One end of a simulated connection. Made in pairs by the network when a handshake succeeds; ends with `close`, with the other end, with silence, or
 * with the process that owns it. Promises what the network port promises: messages arrive whole and in order as copies, the end is told once.
 *
 * Heartbeats are not simulated one by one: an end is in silence while nothing of the other end can reach it, and learns so after its limit.
 */
import { MirabelleError, messageCatalog } from '@mirabelle/messages'
import type { Message, MessageOf, MessageType, ReplyOf, RequestType } from '@mirabelle/messages'
import {
  fromErrorMessage,
  makeResponder,
  PendingRequests,
  toErrorMessage,
  type Connection,
  type ConnectionHandlers,
  type Hello,
  type Party,
} from '@mirabelle/runtime'
import type { SimEvent } from './event-heap.ts'
import { SimClock } from './sim-clock.ts'
import type { SimHost } from './sim-host.ts'
import type { SimFabric } from './sim-network.ts'
import type { SimProcess } from './sim-process.ts'
import { copyMessage } from './copy-message.ts'

/** As the real side: below it `drained` resolves; above it the peer takes nothing any more. */
const LOW_WATER = 1024 * 1024
const MAX_QUEUED_BYTES = 160 * 1024 * 1024
const MAX_FRAME_BYTES = 64 * 1024 * 1024

interface Frame {
  readonly message: Message
  readonly rid: number | undefined
  readonly re: number | undefined
  readonly bytes: number
}

export class SimConnection implements Connection {
  readonly peer: Hello | Party
  readonly remoteAddress: string
  readonly remotePort: number
  readonly process: SimProcess
  /** When the other side learns that the connection stands. */
  arrivesAtMs = 0
  bufferedBytes = 0
  readonly #fabric: SimFabric
  readonly #silenceMs: number
  readonly #pending: PendingRequests
  #other: SimConnection | undefined
  #handlers: ConnectionHandlers | undefined
  #early: Frame[] = []
  #reason: MirabelleError | undefined
  #told = false
  #drainers: (() => void)[] = []
  /** Frames of this turn, on their way already. */
  #batch: { frames: Frame[]; atMs: number; step: number } | undefined
  #lastArrivalMs = 0
  #silentSinceMs: number | undefined
  #silenceCheck: SimEvent | undefined

  constructor(
    fabric: SimFabric,
    process: SimProcess,
    peer: Hello | Party,
    at: { readonly address: string; readonly port: number; readonly silenceMs: number },
  ) {
    this.#fabric = fabric
    this.process = process
    this.peer = peer
    this.remoteAddress = at.address
    this.remotePort = at.port
    this.#silenceMs = at.silenceMs
    this.#pending = new PendingRequests(new SimClock(process), `dbid ${peer.dbid} ${peer.name}`)
  }

  join(other: SimConnection): void {
    this.#other = other
    other.#other = this
    this.#fabric.connections.add(this)
    this.#fabric.connections.add(other)
    this.refreshSilence()
    other.refreshSilence()
  }

  /** The accepting side: nothing overtakes the welcome. */
  welcomed(atMs: number): void {
    this.#lastArrivalMs = Math.max(this.#lastArrivalMs, atMs)
  }

  /** It never came to be. */
  abandon(): void {
    this.#reason ??= new MirabelleError('connection.lost', 'the connection was refused')
    this.#fabric.connections.delete(this)
    this.#pending.failAll(this.#reason)
  }

  get closed(): boolean {
    return this.#reason !== undefined
  }

  /** The other end. */
  get other(): SimConnection | undefined {
    return this.#other
  }

  setHandlers(handlers: ConnectionHandlers): void {
    this.#handlers = handlers
    if (this.#early.length > 0)
      this.process.schedule(0, () => {
        for (const frame of this.#early.splice(0)) this.#deliver(frame)
      })
    if (this.#reason !== undefined) this.process.schedule(0, () => this.#tell())
  }

  send(message: Message): void {
    this.#post(message, undefined, undefined)
  }

  request<K extends RequestType>(message: MessageOf<K>, timeoutMs: number): Promise<ReplyOf<K>> {
    if (this.#reason !== undefined) return Promise.reject(this.#reason)
    return this.#pending.start(message, timeoutMs, (rid) => this.#post(message as Message, rid, undefined))
  }

  drained(): Promise<void> {
    if (this.bufferedBytes < LOW_WATER || this.#reason !== undefined) return Promise.resolve()
    return new Promise((resolve) => this.#drainers.push(resolve))
  }

  close(reason?: MirabelleError): void {
    const own =
      reason ??
      new MirabelleError('connection.lost', `the connection with ${this.peer.name} was closed on this side`)
    this.#end(own, reason, true)
  }

  /** Somebody in between ends it, for this end: nothing more arrives. */
  reset(): void {
    this.#end(
      new MirabelleError('connection.lost', `the connection with ${this.peer.name} was reset`),
      undefined,
      false,
    )
  }

  /** The process that owns this end is gone: its kernel says so to the other end, unless the whole host is gone. */
  ownerGone(silently: boolean): void {
    if (this.#reason === undefined)
      this.#reason = new MirabelleError('connection.lost', 'the process is gone')
    this.#fabric.connections.delete(this)
    const other = this.#other
    if (other === undefined || other.#reason !== undefined) return
    if (silently) other.refreshSilence()
    else this.#transmit(() => other.#peerEnded(undefined))
  }

  /** The host of the other end has come back from a loss of power without the other end. */
  hostBack(host: SimHost): void {
    const other = this.#other
    if (this.#reason !== undefined || other === undefined || other.process.host !== host) return
    if (!other.process.alive) other.#transmit(() => this.#peerEnded(undefined))
  }

  /** Begins or ends the silence, as who reaches whom now says. */
  refreshSilence(): void {
    const other = this.#other
    if (this.#reason !== undefined || other === undefined || this.#silenceMs === 0) return
    const hears =
      other.process.alive &&
      !other.process.paused &&
      other.#reason === undefined &&
      this.#fabric.reaches(other.process.host, this.process.host)
    if (hears) {
      this.#silentSinceMs = undefined
      if (this.#silenceCheck !== undefined) this.#silenceCheck.cancelled = true
      this.#silenceCheck = undefined
      return
    }
    if (this.#silentSinceMs !== undefined) return
    this.#silentSinceMs = this.process.world.nowMs
    this.#silenceCheck = this.process.schedule(this.#silenceMs, () => {
      const since = this.#silentSinceMs
      if (since === undefined) return
      const ms = Math.round(this.process.world.nowMs - since)
      this.#end(
        new MirabelleError('connection.silent', `nothing heard from ${this.peer.name} for ${ms} ms`),
        undefined,
        true,
      )
    })
  }

  #post(message: Message, rid: number | undefined, re: number | undefined): void {
    if (this.#reason !== undefined) return
    const { message: copied, bytes } = copyMessage(message)
    if (bytes > MAX_FRAME_BYTES) throw new MirabelleError('frame.bad', `a frame of ${bytes} bytes`)
    const frame = { message: copied, rid, re, bytes }
    this.#fabric.tap?.(this, frame.message)
    this.bufferedBytes += bytes
    if (this.bufferedBytes > MAX_QUEUED_BYTES) {
      this.#end(new MirabelleError('queue.full', `${this.peer.name} takes nothing any more`), undefined, true)
      return
    }
    const { world } = this.process
    if (this.#batch?.step === world.steps) {
      this.#batch.frames.push(frame)
      return
    }
    const batch = { frames: [frame], atMs: 0, step: world.steps }
    this.#batch = batch
    this.#transmit(() => this.#arrived(batch.frames))
  }

  /** Something that happens at the other end, after all that was sent before. */
  #transmit(run: () => void): void {
    const other = this.#other
    if (other === undefined) return
    const at = this.#fabric.transmit(
      this.process.host,
      other.process.host,
      other.process,
      run,
      this.#lastArrivalMs,
    )
    if (at !== undefined) this.#lastArrivalMs = at
  }

  /** Runs at the other end's process. */
  #arrived(frames: readonly Frame[]): void {
    const other = this.#other as SimConnection
    for (const frame of frames) {
      this.bufferedBytes -= frame.bytes
      other.#receive(frame)
    }
    if (this.bufferedBytes < LOW_WATER && this.#drainers.length > 0 && this.process.alive)
      this.#wakeDrainers()
  }

  #wakeDrainers(): void {
    const drainers = this.#drainers.splice(0)
    this.process.schedule(0, () => {
      for (const resolve of drainers) resolve()
    })
  }

  #receive(frame: Frame): void {
    if (this.#reason !== undefined) return
    if (frame.re !== undefined) {
      try {
        this.#pending.settle(frame.re, frame.message)
      } catch (error) {
        this.#bad(error)
      }
      return
    }
    if (this.#handlers === undefined || this.#early.length > 0) this.#early.push(frame)
    else this.#deliver(frame)
  }

  #deliver({ message, rid }: Frame): void {
    if (this.#reason !== undefined) return
    try {
      if (rid !== undefined && messageCatalog[message.type].reply === null)
        throw new MirabelleError('message.bad', `${message.type} asks for an answer, but has none`)
      const onReply = rid === undefined ? undefined : this.#fabric.asked?.(this, message)
      const respond =
        rid === undefined
          ? undefined
          : makeResponder(
              message.type as MessageType & RequestType,
              rid,
              this.process.world.trace.logger(this.process.name),
              (reply) => {
                onReply?.(reply)
                this.#post(reply, undefined, rid)
              },
            )
      this.#handlers?.onMessage(message, respond)
    } catch (error) {
      this.#bad(error)
    }
  }

  #bad(error: unknown): void {
    const { world, name } = this.process
    const reason =
      error instanceof MirabelleError
        ? error
        : new MirabelleError('internal', `handling a message of ${this.peer.name} failed`, { cause: error })
    if (!(error instanceof MirabelleError)) this.#fabric.onUnexpected?.(this.process, error)
    world.trace.add(name, `closes a connection: [${reason.code}] ${reason.message}`)
    this.#end(reason, reason, true)
  }

  #peerEnded(reason: MirabelleError | undefined): void {
    this.#end(
      reason ??
        new MirabelleError(
          'connection.lost',
          `the connection with ${this.peer.name} ended: closed by the peer`,
        ),
      undefined,
      false,
    )
  }

  /** The one way out. `parting` is told to the peer. */
  #end(reason: MirabelleError, parting: MirabelleError | undefined, tellPeer: boolean): void {
    if (this.#reason !== undefined) return
    this.#reason = reason
    this.#fabric.connections.delete(this)
    if (this.#silenceCheck !== undefined) this.#silenceCheck.cancelled = true
    this.#pending.failAll(reason)
    this.#early = []
    this.#wakeDrainers()
    this.process.schedule(0, () => this.#tell())
    const other = this.#other
    if (!tellPeer || other === undefined || other.#reason !== undefined) return
    const told = parting === undefined ? undefined : fromErrorMessage(toErrorMessage(parting))
    this.#transmit(() => other.#peerEnded(told))
    other.refreshSilence()
  }

  #tell(): void {
    if (this.#told || this.#handlers === undefined || this.#reason === undefined) return
    this.#told = true
    this.#handlers.onClose(this.#reason)
  }
}
