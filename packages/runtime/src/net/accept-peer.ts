/**
 * The accepting side of one connection, from the first byte to the proven connection: plain or TLS by the first byte, then the
 * handshake. Started by the listener for each socket; ends with a connection handed over, or with the socket closed and a log line.
 */
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { MirabelleError } from '@mirabelle/messages'
import type { Logger } from '../log/logger.ts'
import type { Connection, Hello, Party } from '../ports/network.ts'
import { FrameDecoder } from '../wire/frame-decoder.ts'
import { frameOf } from '../wire/frame.ts'
import { sessionBinding, TLS_FIRST_BYTE } from './encryption.ts'
import { AccepterHandshake, MAX_HANDSHAKE_BYTES } from './handshake.ts'
import type { Proven } from './handshake.ts'
import { ACCEPTER_PATIENCE } from './liveness.ts'
import type { NetworkContext } from './network-context.ts'
import { peerSocket } from './peer-socket.ts'
import { isPostgresClient, turnAway } from './postgres-client.ts'
import type { PeerSocket } from './peer-socket.ts'
import { SocketConnection } from './socket-connection.ts'
import { HANDSHAKE_TIMEOUT_MS, MAX_UNPROVEN, type UnprovenConnections } from './unproven-connections.ts'

const NO_PROOF = `no proof within ${HANDSHAKE_TIMEOUT_MS} ms`
const CROWDED = `it was one of more than ${MAX_UNPROVEN} that have not proven themselves, or the listener was closed`

export interface AcceptOptions {
  readonly context: NetworkContext
  /** For lines about peers that have not proven themselves. */
  readonly log: Logger
  readonly unproven: UnprovenConnections
  readonly self: () => Party
  readonly accept: (connection: Connection, hello: Hello) => void
}

/** Takes a fresh socket. */
export function acceptPeer(socket: Socket, options: AcceptOptions): void {
  const { context, log, unproven } = options
  const remote = `${socket.remoteAddress}:${socket.remotePort}`
  let failed = false
  const fail = (why: string): void => {
    if (failed) return
    failed = true
    unproven.done(socket)
    socket.destroy()
    log.warn({ remote }, `a connection was closed before its proof: ${why.trim()}`)
  }
  unproven.add(socket, socket.remoteAddress, (late) => fail(late ? NO_PROOF : CROWDED))
  const early = (error?: Error): void => {
    fail(error === undefined ? 'closed by the peer' : error.message)
  }
  const onError = (error: Error): void => early(error)
  const onClose = (): void => early()
  socket.on('error', onError)
  socket.once('close', onClose)
  socket.once('readable', () => {
    const first = socket.read() as Buffer | null
    if (first === null) return
    socket.unshift(first)
    socket.off('close', onClose)
    if (first[0] === TLS_FIRST_BYTE) {
      const tls = context.encryption.accept(socket, (secure) => {
        secure.off('error', onError)
        secure.off('close', onClose)
        handshake(secure, socket, options)
      })
      tls.on('error', onError)
      tls.once('close', onClose)
      return
    }
    if (isPostgresClient(first)) {
      socket.once('close', onClose)
      turnAway(socket, () => {
        failed = true
        unproven.done(socket)
        log.info({ remote }, 'a client of PostgreSQL came to a port of the cluster and was told so')
      })
      return
    }
    socket.off('error', onError)
    if (context.encryption.isNeeded(socket.remoteAddress)) {
      unproven.done(socket)
      const refusal = new MirabelleError('handshake.failed', 'connections from other hosts must be encrypted')
      refuse(peerSocket(socket), new AccepterHandshake({ ...context, binding: new Uint8Array(0) }), refusal)
      log.warn({ remote }, 'a connection was refused: it is not encrypted')
      return
    }
    handshake(socket, socket, options)
  })
}

/** Speaks the handshake over a socket that is plain or secure by now. `key` is what the listener counts. */
function handshake(raw: Socket | TLSSocket, key: Socket, options: AcceptOptions): void {
  const { context, log, unproven } = options
  const socket = peerSocket(raw)
  const machine = new AccepterHandshake({ ...context, binding: sessionBinding(raw) })
  let bytes = 0
  let over = false
  const fail = (error: MirabelleError): void => {
    if (over) return
    over = true
    decoder.stop()
    unproven.done(key)
    refuse(socket, machine, error)
    const remote = `${raw.remoteAddress}:${raw.remotePort}`
    log.warn({ remote, code: error.code }, `a connection was refused: ${error.message}`)
  }
  const decoder = new FrameDecoder(MAX_HANDSHAKE_BYTES, (body) => {
    const step = machine.receive(body)
    if ('send' in step) socket.write(frameOf(step.send))
    else {
      over = true
      unproven.done(key)
      handOver(socket, decoder, machine, step.proven, options)
    }
  })
  socket.onData = (chunk) => {
    if (over) return
    bytes += chunk.length
    try {
      if (bytes > MAX_HANDSHAKE_BYTES)
        throw new MirabelleError('frame.bad', `more than ${MAX_HANDSHAKE_BYTES} bytes before the proof`)
      decoder.push(chunk)
    } catch (error) {
      fail(asMirabelleError(error))
    }
  }
  socket.onEnd = (error) =>
    fail(
      new MirabelleError(
        'connection.lost',
        `the peer went before its proof${error ? `: ${error.message}` : ''}`,
      ),
    )
}

function handOver(
  socket: PeerSocket,
  decoder: FrameDecoder,
  machine: AccepterHandshake,
  proven: Proven,
  { context, self, accept }: AcceptOptions,
): void {
  const { hello, silenceTimeoutMs } = proven
  let welcome: Buffer
  let connection: SocketConnection | undefined
  try {
    welcome = machine.welcome(self())
    connection = new SocketConnection({
      ...context,
      socket,
      decoder,
      peer: hello,
      silenceTimeoutMs,
      patience: ACCEPTER_PATIENCE,
    })
    connection.hold()
    accept(connection, hello)
    if (connection.reason !== undefined) throw connection.reason
  } catch (error) {
    const reason = asMirabelleError(error)
    connection?.abandon()
    // "Not yet" is an answer that whoever waits for a start or a promotion gets again and again.
    context.log[reason.code === 'not.ready' ? 'debug' : 'warn'](
      { peer: hello.name, dbid: hello.dbid, code: reason.code },
      `a connection was refused: ${reason.message}`,
    )
    if (!(error instanceof MirabelleError)) context.log.error({ err: error }, 'accepting a connection failed')
    refuse(socket, machine, reason)
    return
  }
  socket.write(frameOf(welcome))
  connection.release()
}

function refuse(socket: PeerSocket, machine: AccepterHandshake, error: MirabelleError): void {
  socket.onData = () => undefined
  socket.onEnd = () => undefined
  socket.end(frameOf(machine.refuse(error)), () => socket.destroy())
}

function asMirabelleError(error: unknown): MirabelleError {
  if (error instanceof MirabelleError) return error
  return new MirabelleError('internal', error instanceof Error ? error.message : String(error), {
    cause: error,
  })
}
