/** One attempt at one address: TCP, TLS where needed, the handshake of the opening side. Ends by calling `connected` or `failed` once, or by `abandon()`. */
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { MirabelleError } from '@mirabelle/messages'
import type { Hello } from '../ports/network.ts'
import { FrameDecoder } from '../wire/frame-decoder.ts'
import { frameOf } from '../wire/frame.ts'
import { sessionBinding } from './encryption.ts'
import { MAX_HANDSHAKE_BYTES, OpenerHandshake } from './handshake.ts'
import { ACCEPTER_PATIENCE } from './liveness.ts'
import type { NetworkContext } from './network-context.ts'
import { peerSocket } from './peer-socket.ts'
import { SocketConnection } from './socket-connection.ts'

export interface Attempt {
  /** Drops it without an outcome. */
  abandon(): void
}

export interface Outcomes {
  /** The host has taken the connection; what follows is up to the process. */
  reached(): void
  connected(connection: SocketConnection): void
  failed(error: MirabelleError): void
}

/** Starts the attempt. */
export function dial(
  context: NetworkContext,
  address: string,
  port: number,
  hello: Hello,
  silenceTimeoutMs: number,
  outcomes: Outcomes,
): Attempt {
  const where = `${address} port ${port}`
  let over = false
  const fail = (error: MirabelleError): void => {
    if (over) return
    over = true
    tcp.destroy()
    outcomes.failed(error)
  }
  const tcp = connect({ host: address, port })
  const refused = (error: Error): void =>
    fail(
      new MirabelleError('connection.refused', `cannot connect to ${where}: ${reasonOf(error)}`, {
        cause: error,
      }),
    )
  tcp.on('error', refused)
  tcp.once('connect', () => {
    outcomes.reached()
    if (!context.encryption.isNeeded(tcp.remoteAddress)) {
      tcp.off('error', refused)
      shake(tcp)
      return
    }
    const broken = (error: Error): void =>
      fail(
        new MirabelleError('handshake.failed', `no encrypted session with ${where}: ${reasonOf(error)}`, {
          cause: error,
        }),
      )
    const gone = (): void => broken(new Error('closed by the peer'))
    const tls = context.encryption.open(tcp, address, hello.clusterId, () => {
      tls.off('error', broken)
      tls.off('close', gone)
      if (!over) shake(tls)
    })
    tls.on('error', broken)
    tls.once('close', gone)
  })

  function shake(raw: Socket | TLSSocket): void {
    const socket = peerSocket(raw)
    const machine = new OpenerHandshake({ ...context, binding: sessionBinding(raw) }, hello, silenceTimeoutMs)
    const decoder = new FrameDecoder(MAX_HANDSHAKE_BYTES, (body) => {
      const step = machine.receive(body)
      if ('send' in step) {
        socket.write(frameOf(step.send))
        return
      }
      over = true
      outcomes.connected(
        new SocketConnection({
          ...context,
          socket,
          decoder,
          peer: step.peer,
          silenceTimeoutMs,
          peerPatience: ACCEPTER_PATIENCE,
        }),
      )
    })
    socket.onData = (chunk) => {
      if (over) return
      try {
        decoder.push(chunk)
      } catch (error) {
        if (over) throw error
        fail(error instanceof MirabelleError ? named(error, where) : unexpected(error, where))
      }
    }
    socket.onEnd = (error) =>
      fail(
        new MirabelleError(
          'connection.refused',
          `${where} ended the connection before the handshake${error ? `: ${reasonOf(error)}` : ''}`,
        ),
      )
    socket.write(frameOf(machine.hello()))
  }

  return {
    abandon() {
      over = true
      tcp.destroy()
    },
  }
}

function named(error: MirabelleError, where: string): MirabelleError {
  const detail = error.detail === null ? {} : { detail: error.detail }
  return new MirabelleError(error.code, `${where}: ${error.message}`, { cause: error, ...detail })
}

function unexpected(error: unknown, where: string): MirabelleError {
  return new MirabelleError('handshake.failed', `${where} does not speak the cluster protocol`, {
    cause: error,
  })
}

function reasonOf(error: Error): string {
  return (error as NodeJS.ErrnoException).code ?? error.message
}
