/**
 * The server's side of one SCRAM-SHA-256 exchange (RFC 5802, RFC 7677), without channel binding.
 * Pure: texts in, texts out; the nonce comes in. Started by the login of a connection; ends with `finish()` or a throw.
 */
import { timingSafeEqual } from 'node:crypto'
import { protocolViolation } from '../errors.ts'
import { hmac, sha256, type ScramVerifier } from './scram-verifier.ts'

export const SCRAM_SHA_256 = 'SCRAM-SHA-256'

/** Outcome of the last message of the client: if it is right, `serverFinal` proves the server to the client. */
export type ScramOutcome = { readonly ok: true; readonly serverFinal: string } | { readonly ok: false }

const malformed = (detail: string): Error => protocolViolation('malformed SCRAM message', { detail })

export class ScramExchange {
  readonly #verifier: ScramVerifier
  readonly #mock: boolean
  readonly #serverNonce: string
  #gs2Header = ''
  #clientFirstBare = ''
  #serverFirst = ''
  #nonce = ''

  /** `mock` says that the verifier stands for a user who cannot log in: every proof is wrong. */
  constructor(verifier: ScramVerifier, mock: boolean, serverNonce: string) {
    this.#verifier = verifier
    this.#mock = mock
    this.#serverNonce = serverNonce
  }

  /** Takes client-first-message, returns server-first-message. @throws FATAL 08P01 if it is malformed. */
  begin(clientFirst: string): string {
    const form = /^([nyp])(=[^,]*)?,(a=[^,]*)?,(.*)$/s.exec(clientFirst)
    if (form === null) throw malformed('The client-first-message has no GS2 header.')
    const [, binding, , authzid, bare] = form
    if (binding === 'p') throw malformed('The client asks for channel binding, which was not offered.')
    if (form[2] !== undefined) throw malformed('Only channel binding "p" has a name.')
    if (authzid !== undefined) throw malformed('An authorization identity is not supported.')
    this.#gs2Header = `${binding},,`
    this.#clientFirstBare = bare!
    if (bare!.startsWith('m=')) throw malformed('The client requires an unsupported SCRAM extension.')
    const clientNonce = /^n=[^,]*,r=([\x21-\x2b\x2d-\x7e]+)(?:,|$)/.exec(bare!)?.[1]
    if (clientNonce === undefined) throw malformed('The client-first-message has no user name or no nonce.')
    this.#nonce = clientNonce + this.#serverNonce
    const { salt, iterations } = this.#verifier
    this.#serverFirst = `r=${this.#nonce},s=${salt.toString('base64')},i=${iterations}`
    return this.#serverFirst
  }

  /** Takes client-final-message and checks the proof, in constant time. @throws FATAL 08P01 if it is malformed. */
  finish(clientFinal: string): ScramOutcome {
    const form = /^(c=([A-Za-z0-9+/=]*),r=([^,]*)(?:,[^,]*)*),p=([A-Za-z0-9+/=]+)$/s.exec(clientFinal)
    if (form === null) throw malformed('The client-final-message does not have the form c=…,r=…,p=….')
    const [, withoutProof, binding, nonce, proofText] = form
    if (binding !== Buffer.from(this.#gs2Header).toString('base64')) {
      throw malformed('The channel binding of the final message is not that of the first.')
    }
    if (nonce !== this.#nonce) throw malformed('The nonce does not match.')
    const proof = Buffer.from(proofText!, 'base64')
    if (proof.length !== 32) throw malformed(`The proof has ${proof.length} bytes, 32 are needed.`)
    const authMessage = `${this.#clientFirstBare},${this.#serverFirst},${withoutProof}`
    const signature = hmac(this.#verifier.storedKey, authMessage)
    const clientKey = Buffer.alloc(32)
    for (let index = 0; index < 32; index += 1) clientKey[index] = proof[index]! ^ signature[index]!
    const right = timingSafeEqual(sha256(clientKey), this.#verifier.storedKey)
    if (!right || this.#mock) return { ok: false }
    return { ok: true, serverFinal: `v=${hmac(this.#verifier.serverKey, authMessage).toString('base64')}` }
  }
}
