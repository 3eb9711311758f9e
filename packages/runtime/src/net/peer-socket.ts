/**
 * A TCP or TLS socket with one reader at a time: the handshake first, the connection after it, without losing a byte in
 * between. `onEnd` is called once, whatever ends it.
 */
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { Duplex } from 'node:stream'

export interface PeerSocket extends Duplex {
  readonly remoteAddress: string | undefined
  readonly remotePort: number | undefined
  onData: (chunk: Buffer) => void
  onEnd: (error: Error | undefined) => void
}

/** Takes over a socket: no delay, one reader. */
export function peerSocket(socket: Socket | TLSSocket): PeerSocket {
  const peer = socket as unknown as PeerSocket
  peer.onData = () => undefined
  peer.onEnd = () => undefined
  let failure: Error | undefined
  socket.setNoDelay(true)
  socket.on('data', (chunk: Buffer) => peer.onData(chunk))
  socket.on('error', (error) => {
    failure = error
  })
  socket.once('end', () => peer.onEnd(failure))
  socket.once('close', () => peer.onEnd(failure))
  return peer
}
