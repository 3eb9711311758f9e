/**
 * The body of a frame: a message, and optionally `rid` (the number of a request that wants an answer) or `re` (the request
 * that this answers), as msgpack. Nothing but plain types travels: numbers, text, bytes, lists, maps, true, false and nil.
 */
import { MirabelleError, whatIsWrong } from '@mirabelle/messages'
import type { Message } from '@mirabelle/messages'
import { Packr, Unpackr } from 'msgpackr'
import { HEAD_BYTES, seal } from './frame.ts'
import { malformation } from './well-formed.ts'

/** A message with its place in a conversation. */
export interface Envelope {
  readonly message: Message
  readonly rid: number | undefined
  readonly re: number | undefined
}

/** Payloads from this size on travel as a buffer of their own instead of being copied behind their header. */
export const SEPARATE_BYTES = 16 * 1024
/** msgpackr's RESERVE_START_SPACE: leaves room for the head of the frame in front of the body. */
const RESERVE = 2048 | HEAD_BYTES
/** Fields of messages that can be large, tried for being sent without a copy. */
const PAYLOAD_FIELDS = ['bytes', 'chunk'] as const

const packr = new Packr({ useRecords: false, encodeUndefinedAsNil: true, variableMapSize: true })
const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true, int64AsType: 'number' })

/** Packs plain data. */
export function pack(value: unknown): Buffer {
  return packr.pack(value)
}

/** Unpacks a body after looking it over. Bytes inside are views of `body`. Throws `frame.bad`. */
export function unpack(body: Uint8Array): unknown {
  const wrong = malformation(body)
  if (wrong !== undefined)
    throw new MirabelleError('frame.bad', `undecodable body of ${body.length} bytes: ${wrong}`)
  try {
    return unpackr.unpack(body)
  } catch (error) {
    throw new MirabelleError('frame.bad', `undecodable body of ${body.length} bytes`, { cause: error })
  }
}

/**
 * Encodes a message as the parts of a frame, to be written one behind the other. A large payload is a part by itself and is
 * not copied: it must not change until it is sent. Throws `frame.bad` when the message is over the limit of a frame.
 */
export function encodeFrame(message: Message, rid?: number, re?: number): readonly Uint8Array[] {
  const payload = payloadOf(message)
  if (payload !== undefined) return encodeWithPayload(message, payload, rid, re)
  return encodeWhole(message, rid, re)
}

/** Decodes and checks a body. Throws `frame.bad` or `message.bad`. */
export function decodeBody(body: Uint8Array): Envelope {
  const value = unpack(body)
  const wrong = whatIsWrong(value)
  if (wrong !== undefined) throw new MirabelleError('message.bad', wrong)
  const { rid, re } = value as { rid?: unknown; re?: unknown }
  if (rid === undefined && re === undefined)
    return { message: value as Message, rid: undefined, re: undefined }
  const { rid: _rid, re: _re, ...message } = value as Record<string, unknown>
  return { message: message as unknown as Message, rid: number(rid, 'rid'), re: number(re, 're') }
}

function enveloped(message: Message, rid: number | undefined, re: number | undefined): object {
  if (rid !== undefined) return { ...message, rid }
  if (re !== undefined) return { ...message, re }
  return message
}

function number(value: unknown, name: string): number | undefined {
  if (value === undefined || (Number.isSafeInteger(value) && (value as number) > 0))
    return value as number | undefined
  throw new MirabelleError('message.bad', `"${name}" must be a number from 1 on`)
}

interface Payload {
  readonly name: string
  readonly bytes: Uint8Array
}

function payloadOf(message: Message): Payload | undefined {
  for (const name of PAYLOAD_FIELDS) {
    const bytes = (message as unknown as Record<string, unknown>)[name]
    if (bytes instanceof Uint8Array && bytes.length >= SEPARATE_BYTES) return { name, bytes }
  }
  return undefined
}

/** Encodes everything but the payload, counts it in in the header of the map, and puts the payload last. */
function encodeWithPayload(
  message: Message,
  payload: Payload,
  rid: number | undefined,
  re: number | undefined,
): readonly Uint8Array[] {
  const { [payload.name]: _payload, ...rest } = enveloped(message, rid, re) as Record<string, unknown>
  const head = packr.pack(rest, RESERVE)
  const entries = head[HEAD_BYTES] as number
  if (entries < 0x80 || entries >= 0x8f) return encodeWhole(message, rid, re)
  head[HEAD_BYTES] = entries + 1
  const key = Buffer.allocUnsafe(1 + payload.name.length + 5)
  key[0] = 0xa0 | payload.name.length
  key.write(payload.name, 1, 'latin1')
  key[1 + payload.name.length] = 0xc6
  key.writeUInt32BE(payload.bytes.length, 2 + payload.name.length)
  const parts: [Buffer, Buffer, Uint8Array] = [head, key, payload.bytes]
  seal(parts)
  return parts
}

function encodeWhole(message: Message, rid: number | undefined, re: number | undefined): readonly [Buffer] {
  const frame = packr.pack(enveloped(message, rid, re), RESERVE)
  seal([frame])
  return [frame]
}
