/** The client's side of SCRAM-SHA-256, written from RFC 5802 alone: what a right proof is, without asking the code that is being tried. */
import { createHash, createHmac, pbkdf2Sync } from 'node:crypto'

/** Users of the door under test, with their passwords; undefined: no password is asked for. */
export const USERS = { trusted: undefined, guarded: 'secret' } as const
export type UserName = keyof typeof USERS

export const SALT = Buffer.from('0123456789abcdef')
/** Few, as fuzzing does many. */
export const ITERATIONS = 2

const hmac = (key: Uint8Array, data: string): Buffer => createHmac('sha256', key).update(data).digest()
const hash = (data: Uint8Array): Buffer => createHash('sha256').update(data).digest()

export interface ClientKeys {
  readonly client: Buffer
  readonly stored: Buffer
  readonly server: Buffer
}

const known = new Map<string, ClientKeys>()

export function keysOf(password: string): ClientKeys {
  let keys = known.get(password)
  if (keys === undefined) {
    const salted = pbkdf2Sync(password, SALT, ITERATIONS, 32, 'sha256')
    const client = hmac(salted, 'Client Key')
    keys = { client, stored: hash(client), server: hmac(salted, 'Server Key') }
    known.set(password, keys)
  }
  return keys
}

/** The verifier as pg_authid has it. */
export function verifierOf(password: string): string {
  const { stored, server } = keysOf(password)
  return `SCRAM-SHA-256$${ITERATIONS}:${SALT.toString('base64')}$${stored.toString('base64')}:${server.toString('base64')}`
}

export const clientFirst = (nonce: string): string => `n,,n=,r=${nonce}`

export const serverFirst = (nonce: string): string =>
  `r=${nonce},s=${SALT.toString('base64')},i=${ITERATIONS}`

/** The right last message for a first one, when the server has added its nonce. */
export function clientFinal(password: string, first: string, nonce: string): string {
  const withoutProof = `c=biws,r=${nonce}`
  return `${withoutProof},p=${proofFor(password, `${first.slice(3)},${serverFirst(nonce)},${withoutProof}`).toString('base64')}`
}

/** The proof over an exchange (RFC 5802 section 3). */
export function proofFor(password: string, authMessage: string): Buffer {
  const { client, stored } = keysOf(password)
  const signature = hmac(stored, authMessage)
  return Buffer.from(client.map((byte, index) => byte ^ (signature[index] as number)))
}
