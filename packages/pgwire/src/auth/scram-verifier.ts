/** SCRAM-SHA-256 verifiers in the form of pg_authid.rolpassword: `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`. */
import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto'
import { saslprep } from './saslprep.ts'

export interface ScramVerifier {
  readonly iterations: number
  readonly salt: Buffer
  /** SHA-256 of the client key. */
  readonly storedKey: Buffer
  readonly serverKey: Buffer
}

export const SCRAM_DEFAULT_ITERATIONS = 4096
const SALT_BYTES = 16
const KEY_BYTES = 32
const FORM = /^SCRAM-SHA-256\$(\d{1,9}):([A-Za-z0-9+/]+={0,2})\$([A-Za-z0-9+/]{43}=):([A-Za-z0-9+/]{43}=)$/

export function hmac(key: Uint8Array, data: Uint8Array | string): Buffer {
  return createHmac('sha256', key).update(data).digest()
}

export function sha256(data: Uint8Array | string): Buffer {
  return createHash('sha256').update(data).digest()
}

/** @returns undefined if the text is not a SCRAM-SHA-256 verifier, as an md5 hash is not. */
export function parseScramVerifier(text: string): ScramVerifier | undefined {
  const [, iterations, salt, storedKey, serverKey] = FORM.exec(text) ?? []
  if (iterations === undefined || Number(iterations) < 1) return undefined
  return {
    iterations: Number(iterations),
    salt: Buffer.from(salt!, 'base64'),
    storedKey: Buffer.from(storedKey!, 'base64'),
    serverKey: Buffer.from(serverKey!, 'base64'),
  }
}

/**
 * Makes the verifier that CREATE ROLE … PASSWORD would store. It takes some milliseconds of CPU: not for hot paths.
 *
 * @param salt 16 random bytes unless given (in tests)
 */
export function makeScramVerifier(
  password: string,
  { iterations = SCRAM_DEFAULT_ITERATIONS, salt = randomBytes(SALT_BYTES) as Uint8Array } = {},
): string {
  const salted = pbkdf2Sync(saslprep(password), salt, iterations, KEY_BYTES, 'sha256')
  const storedKey = sha256(hmac(salted, 'Client Key'))
  const serverKey = hmac(salted, 'Server Key')
  const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')
  return `SCRAM-SHA-256$${iterations}:${base64(salt)}$${base64(storedKey)}:${base64(serverKey)}`
}

/**
 * The verifier shown for a user that does not exist or has no password: always the same salt for the same name, so that a
 * stranger cannot tell it from a real one. No proof is ever accepted against it.
 *
 * @param secret random bytes that outlive a restart, if the salt shall too
 */
export function mockVerifier(user: string, secret: Uint8Array): ScramVerifier {
  const salt = sha256(Buffer.concat([Buffer.from(user), secret])).subarray(0, SALT_BYTES)
  return {
    iterations: SCRAM_DEFAULT_ITERATIONS,
    salt,
    storedKey: hmac(secret, 'Stored Key'),
    serverKey: hmac(secret, 'Server Key'),
  }
}
