/**
 * Encryption below the handshake: TLS 1.3 with a pre-shared key that is derived from the cluster key (identity = cluster id),
 * so there are no certificates to hand out; or certificates from files. Loopback peers may go without.
 */
import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import type { Socket } from 'node:net'
import { connect as tlsConnect, createSecureContext, TLSSocket } from 'node:tls'
import type { SecureContext } from 'node:tls'
import { readPrivateFile } from '../real/private-file.ts'

/** First byte of a TLS ClientHello; the first byte of our own frames is 0, since they start small. */
export const TLS_FIRST_BYTE = 0x16

/** Files in PEM, to be used instead of the pre-shared key. Both sides show theirs and check the other's against `ca`. */
export interface CertificateFiles {
  readonly certFile: string
  readonly keyFile: string
  readonly caFile: string
}

export interface EncryptionOptions {
  /** Off for loopback peers and on otherwise, or always on. */
  readonly mode: 'auto' | 'always'
  readonly psk: Buffer
  readonly certificates?: CertificateFiles
}

const VERSION = { minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3' } as const
/** A pre-shared key of 256 bits goes with SHA-256 suites. */
const PSK_CIPHERS = 'TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256'
const BINDING_BYTES = 32
const BINDING_LABEL = 'EXPORTER-mirabelle-handshake'

export class Encryption {
  readonly #options: EncryptionOptions
  readonly #context: SecureContext

  /** Reads the certificate files, if any. Throws when they cannot be read, and `key.unsafe` when others can read the key. */
  constructor(options: EncryptionOptions) {
    this.#options = options
    const files = options.certificates
    this.#context = createSecureContext(
      files === undefined
        ? { ...VERSION, ciphers: PSK_CIPHERS }
        : {
            ...VERSION,
            cert: readFileSync(files.certFile),
            key: readPrivateFile(files.keyFile),
            ca: readFileSync(files.caFile),
          },
    )
  }

  /** Whether a connection with this address has to be encrypted. */
  isNeeded(remoteAddress: string | undefined): boolean {
    return this.#options.mode === 'always' || !isLoopback(remoteAddress)
  }

  /** The accepting side; `secure` is called when the session stands. */
  accept(socket: Socket, secure: (socket: TLSSocket) => void): TLSSocket {
    const psk = this.#options.psk
    const peer = new TLSSocket(socket, {
      isServer: true,
      secureContext: this.#context,
      ...(this.#options.certificates === undefined
        ? // Any identity: the key decides here, and a foreign cluster is told by the handshake.
          { pskCallback: () => psk }
        : { requestCert: true, rejectUnauthorized: true }),
    })
    // Node leaves it at this event for a session that no server of its own has accepted: a damaged record would leave the socket open for ever.
    peer.on('_tlsError', (error) => peer.destroy(error))
    peer.once('secure', () => {
      const unproven = this.#options.certificates !== undefined && peer.getPeerCertificate().raw === undefined
      const error = verifyError(peer)
      if (this.#options.certificates !== undefined && (unproven || error !== undefined))
        peer.destroy(error ?? new Error('the peer shows no certificate'))
      else secure(peer)
    })
    return peer
  }

  /** The opening side. */
  open(socket: Socket, address: string, clusterId: string, secure: (socket: TLSSocket) => void): TLSSocket {
    const psk = this.#options.psk
    const peer = tlsConnect({
      socket,
      secureContext: this.#context,
      ...(isIP(address) === 0 ? { servername: address } : { host: address }),
      ...(this.#options.certificates === undefined
        ? { pskCallback: () => ({ psk, identity: clusterId }), checkServerIdentity: () => undefined }
        : { rejectUnauthorized: true }),
    })
    peer.once('secureConnect', () => secure(peer))
    return peer
  }
}

/** What ties the handshake to its TLS session; empty without TLS. */
export function sessionBinding(socket: unknown): Uint8Array {
  if (!(socket instanceof TLSSocket)) return new Uint8Array(0)
  return socket.exportKeyingMaterial(BINDING_BYTES, BINDING_LABEL, Buffer.alloc(0))
}

/** True for addresses that never leave the machine. */
export function isLoopback(address: string | undefined): boolean {
  if (address === undefined) return false
  const plain = address.startsWith('::ffff:') ? address.slice(7) : address
  return plain === '::1' || plain.startsWith('127.')
}

function verifyError(peer: TLSSocket): Error | undefined {
  const handle = (peer as unknown as { ssl?: { verifyError(): Error | null } }).ssl
  return handle?.verifyError() ?? undefined
}
