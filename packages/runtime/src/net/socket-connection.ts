/**
 * A proven connection over a socket. Made by the handshake of either side; ends with `close()`, the peer, silence, or a bad
 * frame. Promises: messages arrive in order and whole, checked; the end is told once, with its reason; a bad peer costs only
 * its own connection.
 */
import { messageCatalog, MirabelleError } from '@mirabelle/messages'
import type { Message, MessageOf, MessageType, ReplyOf, RequestType } from '@mirabelle/messages'
import { faults } from '../fault/faults.ts'
import { MessageFaults } from '../fault/message-faults.ts'
import type { Logger } from '../log/logger.ts'
import type { Clock, Timer } from '../ports/clock.ts'
import type { Connection, ConnectionHandlers, Hello, Party } from '../ports/network.ts'
import { decodeBody, encodeFrame } from '../wire/body.ts'
import { HEARTBEAT_FRAME, isHeartbeat, unsealed } from '../wire/frame.ts'
import { MAX_FRAME_BYTES } from '../wire/frame-decoder.ts'
import type { FrameDecoder } from '../wire/frame-decoder.ts'
import { fromErrorMessage, toErrorMessage } from '../wire/wire-error.ts'
import { Liveness } from './liveness.ts'
import { PendingRequests } from './pending-requests.ts'
import { makeResponder } from './responder.ts'
import type { PeerSocket } from './peer-socket.ts'
import { WriteQueue } from './write-queue.ts'

/** Bytes that may wait to be sent on one connection: more than two of the largest frames. */
export const MAX_QUEUED_BYTES = 160 * 1024 * 1024
/** Messages that may wait for `setHandlers` before reading stops. */
const MAX_EARLY_MESSAGES = 1000
/** How long a closing connection may take to hand over its last bytes. */
const LINGER_MS = 1000

export interface SocketConnectionOptions {
  readonly socket: PeerSocket
  readonly decoder: FrameDecoder
  readonly peer: Hello | Party
  readonly clock: Clock
  readonly log: Logger
  readonly silenceTimeoutMs: number
  /** How many times that this side waits. Default 1. */
  readonly patience?: number
  /** How many times that the other side waits. Default 1. */
  readonly peerPatience?: number
}

export class SocketConnection implements Connection {
  readonly peer: Hello | Party
  readonly remoteAddress: string
  readonly remotePort: number
  readonly #socket: PeerSocket
  readonly #decoder: FrameDecoder
  readonly #clock: Clock
  readonly #log: Logger
  readonly #queue: WriteQueue
  readonly #pending: PendingRequests
  readonly #liveness: Liveness
  /** Undefined unless this process has fault points. */
  readonly #faults: { readonly send: MessageFaults; readonly receive: MessageFaults } | undefined
  #handlers: ConnectionHandlers | undefined
  #early: { message: Message; rid: number | undefined }[] = []
  #reason: MirabelleError | undefined
  #told = false
  #held = false
  #linger: Timer | undefined

  constructor(options: SocketConnectionOptions) {
    const { socket, decoder, clock } = options
    this.peer = options.peer
    this.remoteAddress = socket.remoteAddress ?? ''
    this.remotePort = socket.remotePort ?? 0
    this.#socket = socket
    this.#decoder = decoder
    this.#clock = clock
    this.#log = options.log.child({ peer: this.peer.name, dbid: this.peer.dbid, remote: this.#where() })
    this.#queue = new WriteQueue(socket, clock, MAX_QUEUED_BYTES)
    this.#pending = new PendingRequests(clock, this.#who())
    this.#liveness = new Liveness({
      clock,
      silenceTimeoutMs: options.silenceTimeoutMs,
      patience: options.patience ?? 1,
      peerPatience: options.peerPatience ?? 1,
      beat: () => this.#beat(),
      silent: (ms) => this.#silent(ms),
    })
    if (faults !== undefined) {
      const broken = (error: unknown): void => this.#bad(error)
      this.#faults = {
        send: new MessageFaults(faults, 'send', this.peer.content, broken),
        receive: new MessageFaults(faults, 'receive', this.peer.content, broken),
      }
    }
    decoder.maxBytes = MAX_FRAME_BYTES
    decoder.sealed = true
    decoder.onBody = (content) => this.#onBody(unsealed(content))
    socket.onData = (chunk) => this.#onData(chunk)
    socket.onEnd = (error) => this.#onEnd(error)
  }

  /** Keeps outgoing messages back until `release()`: the welcome goes first. A connection that ends while held is refused. */
  hold(): void {
    this.#held = true
    this.#queue.hold()
  }

  release(): void {
    this.#held = false
    this.#queue.release()
  }

  /** Why it ended, once it has. */
  get reason(): MirabelleError | undefined {
    return this.#reason
  }

  /** Lets go of the socket without telling anyone: the connection was refused before it was handed over. */
  abandon(): void {
    this.#reason ??= new MirabelleError('connection.lost', `the connection with ${this.#who()} was refused`)
    this.#queue.close()
    this.#decoder.stop()
    this.#liveness.stop()
    this.#pending.failAll(this.#reason)
  }

  get closed(): boolean {
    return this.#reason !== undefined
  }

  get bufferedBytes(): number {
    return this.#queue.bufferedBytes
  }

  drained(): Promise<void> {
    return this.#queue.drained()
  }

  setHandlers(handlers: ConnectionHandlers): void {
    this.#handlers = handlers
    if (this.#early.length > 0) this.#clock.soon(() => this.#deliverEarly())
    this.#socket.resume()
    if (this.#reason !== undefined) this.#clock.soon(() => this.#tell())
  }

  /** What has come before the handlers, and what came behind it until now: in order. */
  #deliverEarly(): void {
    const early = this.#early
    this.#early = []
    for (const { message, rid } of early) this.#deliver(message, rid)
    this.#socket.resume()
  }

  send(message: Message): void {
    if (this.#reason === undefined) this.#sends(message, encodeFrame(message))
  }

  request<K extends RequestType>(message: MessageOf<K>, timeoutMs: number): Promise<ReplyOf<K>> {
    if (this.#reason !== undefined) return Promise.reject(this.#reason)
    return this.#pending.start(message, timeoutMs, (rid) => {
      const frame = encodeFrame(message as Message, rid)
      if (this.#faults === undefined) this.#queue.push(frame)
      else this.#sends(message as Message, frame)
    })
  }

  close(reason?: MirabelleError): void {
    this.#end(
      reason ??
        new MirabelleError('connection.lost', `the connection with ${this.#who()} was closed on this side`),
      reason,
    )
  }

  #onData(chunk: Buffer): void {
    if (this.#reason !== undefined) return
    this.#liveness.heard()
    try {
      this.#decoder.push(chunk)
    } catch (error) {
      this.#bad(error)
    }
  }

  #onBody(body: Buffer): void {
    if (isHeartbeat(body)) return
    const { message, rid, re } = decodeBody(body)
    if (this.#faults === undefined) this.#arrived(message, rid, re)
    else
      this.#faults.receive.pass(message, () => {
        if (this.#reason === undefined) this.#arrived(message, rid, re)
      })
  }

  #arrived(message: Message, rid: number | undefined, re: number | undefined): void {
    if (re !== undefined) {
      this.#pending.settle(re, message)
      return
    }
    if (message.type === 'error') {
      this.#end(fromErrorMessage(message), undefined)
      return
    }
    if (rid !== undefined && messageCatalog[message.type].reply === null)
      throw new MirabelleError('message.bad', `${message.type} asks for an answer, but has none`)
    if (this.#handlers !== undefined && this.#early.length === 0) {
      this.#deliver(message, rid)
      return
    }
    this.#early.push({ message, rid })
    if (this.#early.length >= MAX_EARLY_MESSAGES) this.#socket.pause()
  }

  #deliver(message: Message, rid: number | undefined): void {
    if (this.#reason !== undefined) return
    const respond =
      rid === undefined
        ? undefined
        : makeResponder(message.type as MessageType & RequestType, rid, this.#log, (reply) =>
            this.#sends(reply, encodeFrame(reply, undefined, rid)),
          )
    try {
      this.#handlers?.onMessage(message, respond)
    } catch (error) {
      this.#log.error(
        { err: error, message: message.type },
        'the handler of a message threw; the connection is closed',
      )
      const reason =
        error instanceof MirabelleError
          ? error
          : new MirabelleError('internal', `handling ${message.type} from ${this.#who()} failed`, {
              cause: error,
            })
      this.#end(reason, reason)
    }
  }

  #sends(message: Message, frame: readonly Uint8Array[]): void {
    if (this.#faults === undefined) this.#post(frame)
    else this.#faults.send.pass(message, () => this.#post(frame))
  }

  #post(frame: readonly Uint8Array[]): void {
    if (this.#reason !== undefined) return
    try {
      this.#queue.push(frame)
    } catch (error) {
      this.#bad(error)
    }
  }

  #bad(error: unknown): void {
    const reason =
      error instanceof MirabelleError
        ? error
        : new MirabelleError('internal', `the connection with ${this.#who()} broke`, { cause: error })
    this.#log.warn({ code: reason.code, err: reason }, `the connection is closed: ${reason.message}`)
    this.#end(reason, reason)
  }

  #beat(): void {
    if (!this.#queue.wrote && this.#queue.bufferedBytes === 0) this.#post([HEARTBEAT_FRAME])
    this.#queue.wrote = false
  }

  #silent(ms: number): void {
    const sentence = `nothing heard from ${this.#who()} for ${Math.round(ms)} ms`
    this.#end(new MirabelleError('connection.silent', sentence), undefined)
    this.#socket.destroy()
  }

  #onEnd(error: Error | undefined): void {
    this.#linger?.clear()
    const half = this.#decoder.unfinishedBytes
    const how = `${error === undefined ? 'closed by the peer' : error.message}${half > 0 ? `, ${half} bytes into a frame` : ''}`
    const options = error === undefined ? {} : { cause: error }
    this.#end(
      new MirabelleError('connection.lost', `the connection with ${this.#who()} ended: ${how}`, options),
      undefined,
    )
    this.#socket.destroy()
  }

  /** The one way out. `parting` is told to the peer. */
  #end(reason: MirabelleError, parting: MirabelleError | undefined): void {
    if (this.#reason !== undefined) return
    if (parting !== undefined && parting.code !== 'queue.full')
      this.#post(encodeFrame(toErrorMessage(parting)))
    this.#reason = reason
    if (!this.#held) this.#queue.flush()
    this.#queue.close()
    this.#decoder.stop()
    this.#liveness.stop()
    this.#early = []
    this.#pending.failAll(reason)
    this.#clock.soon(() => this.#tell())
    if (this.#held) return
    this.#socket.end()
    this.#linger = this.#clock.setTimer(LINGER_MS, () => this.#socket.destroy())
  }

  #tell(): void {
    if (this.#told || this.#handlers === undefined || this.#reason === undefined) return
    this.#told = true
    try {
      this.#handlers.onClose(this.#reason)
    } catch (error) {
      this.#log.error({ err: error }, 'the handler of a closed connection threw')
    }
  }

  #who(): string {
    const { kind, dbid, name } = this.peer
    return `${kind === 'instance' ? `dbid ${dbid}` : kind} ${name} (${this.#where()})`
  }

  #where(): string {
    return `${this.remoteAddress}:${this.remotePort}`
  }
}
