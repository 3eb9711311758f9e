/** Turns a plain socket into an encrypted one, on the server's side. */
import type { Socket } from 'node:net'
import { TLSSocket, type SecureContext } from 'node:tls'

/** A client that goes away in the middle of the handshake shows as 'end' only. */
const FAILURES = ['error', 'end', 'close', '_tlsError'] as const

/**
 * Resolves with the encrypted socket when the handshake is done; rejects if it fails or the client goes away, and the socket
 * is destroyed then. The caller has made sure that no byte of the plain socket is left unread.
 */
export function upgradeToTls(socket: Socket, secureContext: SecureContext): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const secure = new TLSSocket(socket, { isServer: true, secureContext })
    const failed = (cause?: unknown): void => {
      settle()
      secure.on('error', () => undefined) // the failure was told already; the socket may say it again
      secure.destroy()
      socket.destroy()
      const text = cause instanceof Error ? cause.message : 'the client closed the connection'
      reject(new Error(`TLS handshake failed: ${text}`, { cause }))
    }
    const done = (): void => {
      settle()
      resolve(secure)
    }
    const settle = (): void => {
      secure.off('secure', done)
      for (const event of FAILURES) secure.off(event, failed)
      // Node leaves it at this event for a session that no server of its own has accepted: a damaged record would leave the socket open for ever.
      secure.on('_tlsError', (error) => secure.destroy(error))
    }
    secure.once('secure', done)
    for (const event of FAILURES) secure.once(event, failed)
  })
}
