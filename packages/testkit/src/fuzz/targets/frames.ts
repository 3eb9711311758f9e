/**
 * Frames of proven connections: cut out of the stream, their checksum looked at, decoded and checked. However the stream is cut the same comes
 * out; a refusal is a `frame.bad` or `message.bad`; what is accepted says the same when it is encoded again.
 */
import { isDeepStrictEqual } from 'node:util'
import { MirabelleError, type Message } from '@mirabelle/messages'
import { decodeBody, encodeFrame, FrameDecoder, MAX_FRAME_BYTES, type Envelope } from '@mirabelle/runtime'
import { pack, sealedFrameOf, unsealed } from '@mirabelle/runtime/wire'
import type { SimRandom } from '../../sim/sim-random.ts'
import { bytes, edgeNumber, json, text } from '../draw.ts'
import { promise, type FuzzInput, type FuzzTarget } from '../fuzz-target.ts'
import { chopped, damaged, damagedValue } from '../mutate.ts'
import { drawMessage } from './draw-message.ts'

export const frames: FuzzTarget = {
  name: 'frames',
  what: 'frames of a proven connection: length, checksum, msgpack, shape of the message',
  draw: (random) => chopped(random, stream(random)),
  run(input) {
    const cut = outcomeOf(input)
    const whole = outcomeOf([Buffer.concat(input)])
    promise(
      isDeepStrictEqual(cut, whole),
      () => `cut into ${input.length} chunks the stream says ${told(cut)}, in one ${told(whole)}`,
    )
    for (const { message, rid, re } of whole.accepted) {
      const frame = Buffer.concat(encodeFrame(message, rid, re))
      const again = decodeBody(unsealed(frame.subarray(4)))
      promise(
        isDeepStrictEqual(again, { message, rid, re }),
        () => `a message of type ${message.type} is another one after it was encoded again`,
      )
    }
  },
}

function stream(random: SimRandom): Buffer {
  const parts: Uint8Array[] = []
  for (let left = 1 + random.below(3); left > 0; left--) parts.push(frame(random))
  const whole = Buffer.concat(parts)
  return random.chance(0.25) ? damaged(random, whole) : whole
}

/** A frame whose outside is right mostly, so that what is inside is looked at. */
function frame(random: SimRandom): Uint8Array {
  switch (random.below(8)) {
    case 0:
    case 1:
      return Buffer.concat(
        encodeFrame(
          drawMessage(random) as unknown as Message,
          random.chance(0.3) ? 1 + random.below(9) : undefined,
        ),
      )
    case 2:
    case 3:
      return sealedFrameOf(pack(damagedValue(random, drawMessage(random))))
    case 4:
      return sealedFrameOf(damaged(random, pack(drawMessage(random))))
    case 5:
      return sealedFrameOf(pack({ type: text(random, 20), rid: edgeNumber(random), re: json(random) }))
    case 6:
      return sealedFrameOf(hostileBody(random))
    default: {
      const lying = Buffer.alloc(4 + random.below(40))
      lying.writeUInt32BE(Math.abs(edgeNumber(random)) % 2 ** 32)
      return lying
    }
  }
}

/** Bodies that promise more than they hold, nest deeply, or use what is not allowed. */
function hostileBody(random: SimRandom): Uint8Array {
  switch (random.below(5)) {
    case 0:
      return Buffer.concat([Buffer.from([0xdd, 0, 0x0f, 0xff, 0xff]), Buffer.alloc(random.below(300), 0xc0)])
    case 1:
      return Buffer.concat([Buffer.alloc(random.below(200), 0x91), Buffer.from([0xc0])])
    case 2:
      return Buffer.concat([Buffer.from([0xdf]), bytes(random, 4), bytes(random, random.below(40))])
    case 3:
      return Buffer.concat([Buffer.from([0xc7 + random.below(18)]), bytes(random, random.below(20))])
    default:
      return bytes(random, random.below(60))
  }
}

interface Outcome {
  readonly accepted: Envelope[]
  /** Code and sentence of the refusal that ended the stream. */
  refused: string | undefined
  readonly unfinished: number
}

function outcomeOf(chunks: FuzzInput): Outcome {
  const accepted: Envelope[] = []
  const decoder = new FrameDecoder(MAX_FRAME_BYTES, (content) => accepted.push(decodeBody(unsealed(content))))
  decoder.sealed = true
  try {
    for (const chunk of chunks) decoder.push(Buffer.from(chunk))
  } catch (error) {
    if (!(error instanceof MirabelleError) || !['frame.bad', 'message.bad'].includes(error.code)) throw error
    return { accepted, refused: `${error.code} ${error.message}`, unfinished: 0 }
  }
  return { accepted, refused: undefined, unfinished: decoder.unfinishedBytes }
}

function told({ accepted, refused, unfinished }: Outcome): string {
  return `${accepted.length} messages, ${refused ?? `${unfinished} bytes left`}`
}
