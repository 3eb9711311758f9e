/** Who is at the other end of a socket. */
import type { Socket } from 'node:net'
import type { Peer } from './front-door-types.ts'

export function peerOf(socket: Socket, encrypted: boolean): Peer {
  const address = (socket.remoteAddress ?? '').replace(/^::ffff:(?=\d+\.)/, '')
  const loopback = address === '::1' || /^127\.\d+\.\d+\.\d+$/.test(address)
  return { address, port: socket.remotePort ?? 0, loopback, encrypted }
}
