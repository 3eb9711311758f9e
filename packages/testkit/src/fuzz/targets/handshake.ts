/**
 * The accepting side of a connection, over a socket in memory: plain or TLS by the first byte, the handshake, and frames after it. Nobody gets in
 * whose proof is not the HMAC over what both have said, with the key of the opener, as computed here with nothing but node:crypto; and whatever
 * came, the connection ends, with a log line, and nothing of it is kept.
 */
import { createHmac, hkdfSync } from 'node:crypto'
import type { Message } from '@mirabelle/messages'
import {
  encodeFrame,
  frameOf,
  PROTOCOL_VERSION,
  realClock,
  type Hello,
  type Logger,
  type Party,
} from '@mirabelle/runtime'
import {
  acceptPeer,
  deriveKeys,
  Encryption,
  MAX_HANDSHAKE_BYTES,
  OpenerHandshake,
  UnprovenConnections,
  type NetworkContext,
} from '@mirabelle/runtime/net'
import { pack, unpack } from '@mirabelle/runtime/wire'
import type { SimRandom } from '../../sim/sim-random.ts'
import { bytes } from '../draw.ts'
import { promise, type FuzzInput, type FuzzTarget } from '../fuzz-target.ts'
import { chopped, damaged, damagedValue } from '../mutate.ts'
import { drawMessage } from './draw-message.ts'
import { MemorySocket, play } from './memory-socket.ts'

const KEY = Buffer.alloc(32, 7)
const keys = deriveKeys(KEY)
/** What both sides draw, so that right proofs can be drawn beforehand. */
const NONCE = 'ab'.repeat(32)
const hex = (count: number): string => NONCE.slice(0, count * 2)
const CHALLENGE = pack({ v: PROTOCOL_VERSION, nonce: Buffer.from(NONCE, 'hex') })
const self: Party = { clusterId: 'c', kind: 'instance', dbid: 2, content: 0, name: 'h1' }

interface Attempt {
  accepted: Hello[]
  lines: number
}
let attempt: Attempt = { accepted: [], lines: 0 }

const log: Logger = {
  debug: () => undefined,
  info: () => void attempt.lines++,
  warn: () => void attempt.lines++,
  error: () => void attempt.lines++,
  child: () => log,
}
const context: NetworkContext = {
  clock: realClock,
  log,
  keys,
  encryption: new Encryption({ mode: 'auto', psk: keys.tls }),
  hex,
}
const unproven = new UnprovenConnections({ clock: realClock, most: 64, timeoutMs: () => 2_000 })

export const handshake: FuzzTarget = {
  name: 'handshake',
  what: 'connections from their first byte: handshake, wrong proofs, replays, TLS records, frames after the proof',
  draw: (random) => chopped(random, conversation(random)),
  async run(input) {
    attempt = { accepted: [], lines: 0 }
    const [ours, theirs] = MemorySocket.pair('127.0.0.1')
    acceptPeer(ours.asSocket, {
      context,
      log,
      unproven,
      self: () => self,
      accept(connection, hello) {
        attempt.accepted.push(hello)
        connection.setHandlers({ onMessage: () => undefined, onClose: () => void attempt.lines++ })
      },
    })
    await play(theirs, input)
    await gone(ours)
    // What is told of the end is told at the end of the turn.
    for (let turn = 0; turn < 2; turn++) await new Promise((resolve) => setImmediate(resolve))
    promise(unproven.size === 0, () => `${unproven.size} connections are waited for that have ended`)
    promise(attempt.lines > 0, () => 'the connection ended without a log line')
    promise(attempt.accepted.length <= 1, () => 'one connection was accepted twice')
    if (attempt.accepted.length === 1)
      promise(isProven(input), () => 'a peer was accepted whose proof is not right')
  },
}

/** Hello, proof and frames as a peer with the key would send them, with damage. */
function conversation(random: SimRandom): Buffer {
  if (random.chance(0.1)) return tlsRecords(random)
  const hello: Hello = {
    clusterId: random.chance(0.9) ? 'c' : 'other',
    kind: random.pick(['instance', 'agent', 'cli']),
    dbid: random.below(9),
    content: random.below(3) - 1,
    name: 'h0',
    purpose: random.pick(['control', 'wal', 'dispatch', 'copy']),
    epoch: random.below(9),
  }
  const key = random.chance(0.85) ? keys : deriveKeys(bytes(random, 32))
  const opener = new OpenerHandshake({ keys: key, hex, binding: new Uint8Array(0) }, hello, 0)
  let first: Uint8Array = opener.hello()
  const step = opener.receive(CHALLENGE)
  let second: Uint8Array = 'send' in step ? step.send : Buffer.alloc(0)
  const frames = Array.from({ length: random.below(3) }, () =>
    Buffer.concat(encodeFrame(drawMessage(random) as unknown as Message)),
  )
  switch (random.below(8)) {
    case 0:
      first = pack(damagedValue(random, unpack(first)))
      break
    case 1:
      first = damaged(random, first)
      break
    case 2:
      second = pack(damagedValue(random, unpack(second)))
      break
    case 3:
      second = damaged(random, second)
      break
    case 4:
      return damaged(random, Buffer.concat([frameOf(first), frameOf(second), ...frames]))
    case 5: // the hello twice, or the proof alone
      return Buffer.concat(random.chance(0.5) ? [frameOf(first), frameOf(first)] : [frameOf(second)])
    default:
  }
  return Buffer.concat([frameOf(first), frameOf(second), ...frames])
}

function tlsRecords(random: SimRandom): Buffer {
  const body = bytes(random, random.below(200))
  const record = Buffer.concat([
    Buffer.from([0x16, 3, 1, 0, body.length]),
    Buffer.from([1, 0, 0, 0, 3, 3]),
    body,
  ])
  return random.chance(0.5) ? record : damaged(random, record)
}

/** Reads the two frames of the opener by hand and computes the proof from what is documented of it. */
function isProven(input: FuzzInput): boolean {
  const whole = Buffer.concat(input)
  const helloLength = whole.readUInt32BE(0)
  const hello = whole.subarray(4, 4 + helloLength)
  const proofLength = whole.readUInt32BE(4 + helloLength)
  if (helloLength + proofLength + 8 > MAX_HANDSHAKE_BYTES) return false
  const value = unpack(whole.subarray(8 + helloLength, 8 + helloLength + proofLength)) as { proof?: unknown }
  const hmac = createHmac('sha256', Buffer.from(hkdfSync('sha256', KEY, 'mirabelle', 'handshake opener', 32)))
  for (const part of [Buffer.alloc(0), hello, CHALLENGE]) {
    const length = Buffer.alloc(4)
    length.writeUInt32BE(part.length)
    hmac.update(length).update(part)
  }
  return value.proof instanceof Uint8Array && hmac.digest().equals(value.proof)
}

function gone(socket: MemorySocket): Promise<void> {
  return new Promise((resolve) => {
    if (socket.closed) resolve()
    else socket.once('close', () => resolve())
  })
}
