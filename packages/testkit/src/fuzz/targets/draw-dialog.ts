/** Draws what a client of PostgreSQL's protocol might send from its first byte on, right in form or damaged in one place. */
import {
  encodeBind,
  encodeCancelRequest,
  encodeClose,
  encodeCopyFail,
  encodeDescribe,
  encodeExecute,
  encodeGssencRequest,
  encodeParse,
  encodePassword,
  encodeQuery,
  encodeSaslInitialResponse,
  encodeSslRequest,
  encodeStartup,
  FLUSH,
  Frontend,
  SYNC,
  TERMINATE,
} from '@mirabelle/pgwire'
import type { SimRandom } from '../../sim/sim-random.ts'
import { bytes, edgeNumber, lengthUpTo, listOf, text } from '../draw.ts'
import { damaged } from '../mutate.ts'
import { clientFinal, clientFirst, USERS, type UserName } from './scram-client.ts'

export interface Dialog {
  readonly messages: readonly Uint8Array[]
}

/** No NUL: a text of a message ends there. */
const word = (random: SimRandom): string => text(random).replaceAll('\0', ' ')

const MESSAGES: readonly ((random: SimRandom) => Uint8Array)[] = [
  (random) => encodeQuery(word(random)),
  (random) =>
    encodeParse({
      statement: word(random),
      query: word(random),
      parameterTypes: listOf(random, 3, (inner) => Math.abs(edgeNumber(inner)) % 2 ** 31),
    }),
  (random) => {
    const parameters = listOf(random, 3, (inner) =>
      inner.chance(0.2) ? null : bytes(inner, lengthUpTo(inner, 2_000)),
    )
    return encodeBind({
      portal: word(random),
      statement: word(random),
      parameters,
      parameterFormats: random.pick([[], [0], [1], parameters.map((_, index) => index % 2)]),
      resultFormats: listOf(random, 2, (inner) => inner.below(2)),
    })
  },
  (random) => encodeDescribe({ kind: random.pick(['S', 'P']), name: word(random) }),
  (random) => encodeClose({ kind: random.pick(['S', 'P']), name: word(random) }),
  (random) => encodeExecute({ portal: word(random), maxRows: random.below(9) }),
  () => SYNC,
  () => SYNC,
  () => FLUSH,
  () => TERMINATE,
  (random) => encodeCopyFail(word(random)),
  (random) => framed(Frontend.copyData, bytes(random, lengthUpTo(random, 4_000))),
  () => framed(Frontend.copyDone, Buffer.alloc(0)),
  (random) => framed(Frontend.functionCall, bytes(random, random.below(30))),
  (random) => encodePassword(bytes(random, random.below(40))),
  (random) => framed(random.below(256), bytes(random, random.below(30))),
  (random) => {
    const lying = Buffer.alloc(5 + random.below(9))
    lying[0] = random.pick(Object.values(Frontend))
    lying.writeInt32BE(edgeNumber(random) | 0, 1)
    return lying
  },
]

/** A message with any type and any body. */
function framed(type: number, body: Uint8Array): Buffer {
  const head = Buffer.alloc(5)
  head[0] = type
  head.writeInt32BE(4 + body.length, 1)
  return Buffer.concat([head, body])
}

/** The messages of one connection. `serverNonce` is what the server will draw, so that proofs can be right. */
export function drawDialog(random: SimRandom, serverNonce = 'server'): Dialog {
  const messages: Uint8Array[] = []
  if (random.chance(0.1)) messages.push(encodeGssencRequest())
  if (random.chance(0.05)) messages.push(encodeSslRequest())
  if (random.chance(0.05))
    messages.push(encodeCancelRequest(random.below(9), bytes(random, 4 + random.below(40))))
  const user = random.pick(Object.keys(USERS) as UserName[])
  messages.push(startup(random, user))
  if (USERS[user] !== undefined || random.chance(0.1)) messages.push(...sasl(random, user, serverNonce))
  for (let left = random.below(8); left > 0; left--) messages.push(random.pick(MESSAGES)(random))
  if (random.chance(0.3)) return { messages }
  const at = random.below(messages.length)
  return { messages: messages.map((one, index) => (index === at ? damaged(random, one) : one)) }
}

function startup(random: SimRandom, user: string): Uint8Array {
  const parameters: Record<string, string> = { user, database: 'postgres' }
  if (random.chance(0.2)) parameters[word(random) || 'x'] = word(random)
  if (random.chance(0.1))
    parameters['options'] = random.pick(['-c a=b', '--work_mem=1MB', '-c', '\\', '-x', word(random)])
  if (random.chance(0.05)) parameters['replication'] = random.pick(['true', 'database', 'off', ''])
  if (random.chance(0.05)) parameters['_pq_.x'] = word(random)
  return encodeStartup(parameters, random.pick([0, 0, 0, 2, 3, 9999]))
}

function sasl(random: SimRandom, user: UserName, serverNonce: string): Uint8Array[] {
  const password = random.chance(0.8) ? (USERS[user] ?? 'x') : 'wrong'
  const first = clientFirst('client')
  const final = clientFinal(password, first, 'client' + serverNonce)
  const asked = random.chance(0.9) ? 'SCRAM-SHA-256' : word(random)
  return [
    encodeSaslInitialResponse(asked, random.chance(0.9) ? Buffer.from(first) : null),
    encodePassword(Buffer.from(final)),
  ]
}
