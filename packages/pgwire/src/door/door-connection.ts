/**
 * One client, from its first byte to the end of its socket. Made by the front door for each accepted socket.
 *
 * Promises: messages reach the session in order, one after the other; what a client sends ahead waits in bounded memory;
 * the session is closed exactly once, whatever ends the connection; nothing a client sends takes the process down.
 */
import type { Socket } from 'node:net'
import type { SecureContext } from 'node:tls'
import { FrontendParser, type FrontendMessage } from '../codec/frontend-parser.ts'
import { errorResponse } from '../codec/error-fields.ts'
import { protocolViolation, toPgError, type PgError } from '../errors.ts'
import type {
  CloseReason,
  DoorClock,
  DoorLimits,
  DoorLogger,
  FrontSession,
  Peer,
} from './front-door-types.ts'
import type { DialogIo } from './login.ts'
import { MessagePump } from './message-pump.ts'
import { Output } from './output.ts'
import { peerOf } from './peer.ts'
import { Spill, type OpenSpillFile, type SpillBudget } from './spill.ts'
import { upgradeToTls } from './tls-upgrade.ts'

/** The client has gone while something was awaited from it. */
export class ClientGone extends Error {
  override readonly name = 'ClientGone'
}

export interface ConnectionOptions {
  readonly limits: DoorLimits
  readonly clock: DoorClock
  readonly logger: DoorLogger
  readonly secureContext: SecureContext | undefined
  readonly spilling: { readonly open: OpenSpillFile; readonly budget: SpillBudget } | undefined
  /** Called once when the socket is closed and the session, if there was one, has been closed. */
  readonly onClosed: () => void
}

/** Input of a client that is not yet authenticated may wait up to this many bytes before the socket is paused. */
const UNAUTHENTICATED_QUEUE_BYTES = 65_536 + 16

export class DoorConnection implements DialogIo {
  readonly #options: ConnectionOptions
  readonly #parser: FrontendParser
  #socket: Socket
  #output: Output
  #peer: Peer
  /** Set while the dialog awaits input. */
  #wakeDialog: (() => void) | undefined
  #session: FrontSession | undefined
  #pump: MessagePump | undefined
  /** Nothing of the client is looked at any more. */
  #over = false
  #paused = false
  /** A TLS handshake is running: neither of the two sockets can be written. */
  #upgrading = false
  #sessionClosed: Promise<void> | undefined

  constructor(socket: Socket, options: ConnectionOptions) {
    this.#options = options
    this.#parser = new FrontendParser(options.limits.maxMessageBytes)
    this.#socket = socket
    this.#peer = peerOf(socket, false)
    this.#output = this.#makeOutput(socket)
    this.#listen(socket)
  }

  get peer(): Peer {
    return this.#peer
  }

  get over(): boolean {
    return this.#over
  }

  get output(): Output {
    return this.#output
  }

  get startTls(): (() => Promise<void>) | undefined {
    const { secureContext } = this.#options
    return secureContext === undefined ? undefined : () => this.#startTls(secureContext)
  }

  send(bytes: Uint8Array): void {
    this.#output.send(bytes)
  }

  nextStartup(): Promise<Buffer> {
    return this.#awaitInput(() => this.#parser.nextStartup())
  }

  nextMessage(): Promise<FrontendMessage> {
    this.#parser.enter('authentication')
    return this.#awaitInput(() => this.#parser.next())
  }

  /** The client is authenticated: from here on its messages go to the session. */
  run(session: FrontSession): void {
    this.#session = session
    this.#parser.enter('running')
    if (this.#over) return this.#closeSession('disconnect')
    this.#pump = new MessagePump({
      session,
      parser: this.#parser,
      output: this.#output,
      maxQueuedBytes: this.#options.limits.maxQueuedBytes,
      pauseInput: () => this.#pause(),
      resumeInput: () => this.#resume(),
      onTerminate: () => this.#finish('terminate'),
      onFailure: (error) => this.#failed(error),
    })
    this.#pump.pump()
  }

  /** Tells the client why and closes. The session learns `reason`. */
  fatal(error: PgError, reason: CloseReason = 'fatal'): void {
    if (this.#over) return
    if (this.#upgrading) return this.destroy(reason)
    this.#output.send(errorResponse({ ...error.fields, severity: 'FATAL' }))
    this.#finish(reason)
  }

  /** The client is refused: it is told, and the log too. */
  refuse(error: PgError): void {
    if (!this.#over) this.#failed(error)
  }

  /** Closes without a word, after what was sent has been written. */
  finish(): void {
    if (!this.#over) this.#finish('terminate')
  }

  /** Cuts the socket off at once. */
  destroy(reason: CloseReason): void {
    this.#stop(reason)
    this.#socket.destroy()
  }

  // Input

  #listen(socket: Socket): void {
    socket.on('data', this.#onData)
    socket.on('end', this.#onEnd)
    socket.on('error', this.#onError)
    socket.on('close', this.#onClose)
  }

  readonly #onData = (chunk: Buffer): void => {
    if (this.#over) return
    this.#parser.push(chunk)
    if (this.#pump !== undefined) this.#pump.pump()
    else if (this.#wakeDialog !== undefined) this.#wakeDialog()
    else if (this.#parser.queuedBytes > UNAUTHENTICATED_QUEUE_BYTES) this.#pause()
  }

  /** The client will send nothing more: every PostgreSQL client means by that that it is gone. */
  readonly #onEnd = (): void => {
    if (!this.#over) this.#finish('disconnect')
  }

  readonly #onError = (error: Error): void => {
    this.#options.logger.debug({ peer: this.#peer, error: error.message }, 'client socket failed')
  }

  readonly #onClose = (): void => {
    this.#stop('disconnect')
    this.#output.close()
    if (this.#sessionClosed === undefined) this.#options.onClosed()
    else void this.#sessionClosed.then(this.#options.onClosed)
  }

  async #awaitInput<T>(take: () => T | undefined): Promise<T> {
    for (;;) {
      if (this.#over) throw new ClientGone('the client closed the connection')
      const taken = take()
      if (taken !== undefined) return taken
      this.#resume()
      await new Promise<void>((resolve) => (this.#wakeDialog = resolve))
      this.#wakeDialog = undefined
    }
  }

  /** The session or the parser threw: the client is told and the connection ends. */
  #failed(thrown: unknown): void {
    if (this.#over) return
    const error = toPgError(thrown)
    const { logger } = this.#options
    const fields = { peer: this.#peer, code: error.code, detail: error.fields.detail }
    if (error.code === 'XX000') {
      logger.error({ ...fields, err: error.cause ?? error }, 'connection closed: its session failed')
    } else if (error.code === '57P03') {
      logger.debug(fields, `connection refused: ${error.message}`)
    } else {
      logger.warn(fields, `connection closed: ${error.message}`)
    }
    this.fatal(error)
  }

  #pause(): void {
    if (this.#paused) return
    this.#paused = true
    this.#socket.pause()
  }

  #resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#socket.resume()
  }

  // Encryption

  async #startTls(secureContext: SecureContext): Promise<void> {
    if (this.#parser.queuedBytes > 0) {
      throw protocolViolation('received unencrypted data after SSL request', {
        detail:
          'This could be either a client-software bug or evidence of an attempted man-in-the-middle attack.',
      })
    }
    const plain = this.#socket
    plain.off('data', this.#onData).off('end', this.#onEnd).off('close', this.#onClose)
    plain.write('S')
    this.#upgrading = true
    try {
      this.#socket = await upgradeToTls(plain, secureContext)
    } catch (error) {
      this.#options.logger.warn({ peer: this.#peer, err: error }, 'connection closed: TLS handshake failed')
      this.#onClose()
      throw error
    }
    this.#upgrading = false
    this.#peer = { ...this.#peer, encrypted: true }
    this.#output.close()
    this.#output = this.#makeOutput(this.#socket)
    this.#listen(this.#socket)
  }

  // The end

  #makeOutput(socket: Socket): Output {
    const { clock, limits, logger, spilling } = this.#options
    return new Output(socket, {
      ...(spilling === undefined
        ? {}
        : {
            spill: ({ onRoom }) =>
              new Spill({
                ...spilling,
                limitBytes: limits.spillBytes,
                onRoom,
                onFull: (reason) =>
                  logger.debug({ peer: this.#peer, reason }, 'unread results wait in memory from now on'),
              }),
          }),
      onLost: (error) => {
        logger.error({ peer: this.#peer, err: error }, 'unread results are lost; connection cut off')
        this.destroy('fatal')
      },
      clock,
      highWaterBytes: limits.highWaterBytes,
      stallTimeoutMs: limits.clientWriteTimeoutMs,
      onStalled: () => {
        logger.warn(
          { peer: this.#peer, code: '08006', bufferedBytes: this.#output.bufferedBytes },
          `client has read nothing for ${limits.clientWriteTimeoutMs} ms; connection cut off`,
        )
        this.destroy('fatal')
      },
    })
  }

  /** Writes what is left, closes, and does not wait for ever for the other side to do the same. */
  #finish(reason: CloseReason): void {
    this.#output.end()
    const socket = this.#socket
    const timer = this.#options.clock.setTimer(this.#options.limits.lingerMs, () => socket.destroy())
    socket.once('close', () => timer.clear())
    this.#stop(reason)
    // Unread input would turn the close into a reset, and the client might never see why: read it away.
    this.#resume()
  }

  #stop(reason: CloseReason): void {
    if (this.#over) return
    this.#over = true
    this.#pump?.stop()
    this.#wakeDialog?.()
    this.#closeSession(reason)
  }

  #closeSession(reason: CloseReason): void {
    const session = this.#session
    if (session === undefined) return
    this.#session = undefined
    const failed = (error: unknown): void => {
      this.#options.logger.error({ peer: this.#peer, err: error }, 'session failed to close')
    }
    try {
      this.#sessionClosed = session.close(reason)?.catch(failed)
    } catch (error) {
      failed(error)
    }
  }
}
