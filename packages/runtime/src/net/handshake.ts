/**
 * The mutual handshake, without any I/O: bodies of frames in, bodies of frames out.
 *
 *   opener                                          accepter
 *     hello {v, hello, silence, nonce}        ──►
 *                                             ◄──   challenge {v, nonce}
 *     proof {proof over hello, challenge}     ──►
 *                                             ◄──   welcome {party, proof over all of it}, or refused {code, …, proof}
 *
 * Each side draws a fresh nonce, so nothing can be replayed; the two sides prove with different keys, so nothing can be reflected;
 * `binding` ties the proofs to the TLS session below, so nobody can sit in between. The accepter says nothing of itself
 * (not even "another cluster") before the opener has proven that it holds the cluster key.
 */
import { errorCatalog, MirabelleError } from '@mirabelle/messages'
import type { ErrorCode } from '@mirabelle/messages'
import { pack, unpack } from '../wire/body.ts'
import { fromErrorMessage, toErrorMessage } from '../wire/wire-error.ts'
import type { Hello, Party } from '../ports/network.ts'
import { asHello, asParty } from './handshake-shapes.ts'
import { proof, proves } from './handshake-keys.ts'
import type { HandshakeKeys } from './handshake-keys.ts'

/** Version of the cluster protocol. Both sides must speak the same. */
export const PROTOCOL_VERSION = 3
/** Bytes that one side may send before it has proven itself. */
export const MAX_HANDSHAKE_BYTES = 4096
const NONCE_BYTES = 32

export interface HandshakeContext {
  readonly keys: HandshakeKeys
  /** Random bytes in hexadecimal. */
  readonly hex: (bytes: number) => string
  /** Exported from the TLS session, or empty. */
  readonly binding: Uint8Array
}

const failed = (sentence: string): MirabelleError => new MirabelleError('handshake.failed', sentence)

/** The side that opens. */
export class OpenerHandshake {
  readonly #context: HandshakeContext
  readonly #self: Hello
  readonly #hello: Buffer
  #transcript: readonly Uint8Array[] | undefined

  constructor(context: HandshakeContext, self: Hello, silenceTimeoutMs: number) {
    this.#context = context
    this.#self = self
    const { clusterId, kind, dbid, content, name, purpose, epoch } = self
    this.#hello = pack({
      v: PROTOCOL_VERSION,
      hello: { clusterId, kind, dbid, content, name, purpose, epoch },
      silence: silenceTimeoutMs,
      nonce: Buffer.from(context.hex(NONCE_BYTES), 'hex'),
    })
  }

  /** The first body to send. */
  hello(): Buffer {
    return this.#hello
  }

  /** Takes the next body. Returns what to send, or the party that the peer has proven to be. Throws why it failed. */
  receive(body: Buffer): { send: Buffer } | { peer: Party } {
    const value = asMap(body)
    return this.#transcript === undefined ? this.#challenged(body, value) : { peer: this.#welcomed(value) }
  }

  #challenged(body: Buffer, value: Record<string, unknown>): { send: Buffer } {
    if ('refused' in value) throw refusal(value)
    checkVersion(value)
    if (!(value['nonce'] instanceof Uint8Array) || value['nonce'].length !== NONCE_BYTES)
      throw failed('the challenge of the peer has the wrong shape')
    const { keys, binding } = this.#context
    const mine = proof(keys.opener, [binding, this.#hello, body])
    this.#transcript = [binding, this.#hello, Buffer.from(body), mine]
    return { send: pack({ proof: mine }) }
  }

  #welcomed(value: Record<string, unknown>): Party {
    const told = value['welcome'] ?? value['refused']
    const proven =
      told instanceof Uint8Array &&
      proves(value['proof'], proof(this.#context.keys.accepter, [...(this.#transcript ?? []), told]))
    if ('refused' in value) throw proven ? fromErrorMessage(errorIn(told)) : refusal(value)
    if (!proven) throw failed('the peer could not prove that it holds the cluster key')
    const party = asParty(unpack(told))
    if (party.clusterId !== this.#self.clusterId)
      throw new MirabelleError(
        'cluster.foreign',
        `the peer belongs to cluster ${party.clusterId}, not to ${this.#self.clusterId}`,
      )
    return party
  }
}

/** What the opener has proven. */
export interface Proven {
  readonly hello: Hello
  readonly silenceTimeoutMs: number
}

/** The side that accepts. */
export class AccepterHandshake {
  readonly #context: HandshakeContext
  #hello: { proven: Proven; body: Buffer; challenge: Buffer } | undefined
  #transcript: readonly Uint8Array[] | undefined

  constructor(context: HandshakeContext) {
    this.#context = context
  }

  /** Takes the next body. Returns what to send, or what the opener has proven. Throws why it failed. */
  receive(body: Buffer): { send: Buffer } | { proven: Proven } {
    const value = asMap(body)
    if (this.#hello === undefined) return { send: this.#greeted(body, value) }
    const { keys, binding } = this.#context
    const expected = proof(keys.opener, [binding, this.#hello.body, this.#hello.challenge])
    if (!proves(value['proof'], expected))
      throw failed(`${this.#hello.proven.hello.name} could not prove that it holds the cluster key`)
    this.#transcript = [binding, this.#hello.body, this.#hello.challenge, expected]
    return { proven: this.#hello.proven }
  }

  /** The body that lets a proven opener in. Throws `cluster.foreign` when it belongs elsewhere. */
  welcome(self: Party): Buffer {
    const theirs = this.#hello?.proven.hello.clusterId
    if (theirs !== self.clusterId)
      throw new MirabelleError(
        'cluster.foreign',
        `this is cluster ${self.clusterId}, the peer belongs to ${theirs}`,
      )
    const { clusterId, kind, dbid, content, name } = self
    return this.#proven('welcome', { clusterId, kind, dbid, content, name })
  }

  /** The body that turns an opener away; says the real reason only to one who has proven itself. */
  refuse(error: MirabelleError): Buffer {
    if (this.#transcript !== undefined) return this.#proven('refused', toErrorMessage(error))
    const told = error.code === 'handshake.failed' ? error.message : errorCatalog['handshake.failed'].sentence
    return pack({ refused: true, message: told })
  }

  #greeted(body: Buffer, value: Record<string, unknown>): Buffer {
    checkVersion(value)
    if (!(value['nonce'] instanceof Uint8Array) || value['nonce'].length !== NONCE_BYTES)
      throw failed('the hello of the peer has the wrong shape')
    const silence = value['silence']
    if (!Number.isSafeInteger(silence) || (silence as number) < 0)
      throw failed('the hello has no silence limit')
    const proven = { hello: asHello(value['hello']), silenceTimeoutMs: silence as number }
    const nonce = Buffer.from(this.#context.hex(NONCE_BYTES), 'hex')
    const challenge = pack({ v: PROTOCOL_VERSION, nonce })
    this.#hello = { proven, body: Buffer.from(body), challenge }
    return challenge
  }

  #proven(name: 'welcome' | 'refused', told: object): Buffer {
    const body = pack(told)
    return pack({
      [name]: body,
      proof: proof(this.#context.keys.accepter, [...(this.#transcript ?? []), body]),
    })
  }
}

function asMap(body: Buffer): Record<string, unknown> {
  const value = unpack(body)
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw failed('the peer does not speak the cluster protocol')
  return value as Record<string, unknown>
}

function checkVersion(value: Record<string, unknown>): void {
  if (value['v'] === PROTOCOL_VERSION) return
  const theirs = Number.isSafeInteger(value['v']) ? String(value['v']) : 'none'
  throw failed(
    `the peer speaks protocol version ${theirs}, this side ${PROTOCOL_VERSION}: run the same release on both hosts`,
  )
}

function refusal(value: Record<string, unknown>): MirabelleError {
  const told = typeof value['message'] === 'string' ? value['message'].slice(0, 300) : 'no reason given'
  return failed(`the peer refused the handshake: ${told}`)
}

function errorIn(told: Uint8Array): { type: 'error'; code: ErrorCode; message: string; detail: null } {
  const value = unpack(told) as Record<string, unknown>
  const detail = (value['detail'] ?? null) as null
  return {
    type: 'error',
    code: String(value['code']) as ErrorCode,
    message: String(value['message']),
    detail,
  }
}
