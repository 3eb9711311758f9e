/** SCRAM-SHA-256 on the server's side: two messages of a client in any form. Only a right proof gets in; a refusal is a PgError or "no". */
import { PgError, parseScramVerifier, ScramExchange } from '@mirabelle/pgwire'
import type { SimRandom } from '../../sim/sim-random.ts'
import { text } from '../draw.ts'
import { Finding, promise, refusalOf, type FuzzTarget } from '../fuzz-target.ts'
import { damaged } from '../mutate.ts'
import { clientFinal, clientFirst, proofFor, verifierOf } from './scram-client.ts'

const PASSWORD = 'secret'
const SERVER_NONCE = 'server-nonce'
const VERIFIER = verifierOf(PASSWORD)

export const scram: FuzzTarget = {
  name: 'scram',
  what: 'the SCRAM-SHA-256 exchange and the verifiers of pg_authid: only a right proof passes',
  draw(random) {
    const first = clientFirst(random.chance(0.8) ? 'client' : text(random))
    const final = clientFinal(random.chance(0.8) ? PASSWORD : 'wrong', first, `client${SERVER_NONCE}`)
    const verifier = Buffer.from(VERIFIER)
    const harmed = random.below(5)
    return [
      harmed === 1 ? damaged(random, verifier) : verifier,
      harmed === 2 ? hurt(random, first) : Buffer.from(first),
      harmed === 3 ? hurt(random, final) : Buffer.from(final),
    ]
  },
  run([verifierText, first, final]) {
    const verifier = parseScramVerifier(Buffer.from(verifierText ?? []).toString())
    if (verifier === undefined) return
    const exchange = new ScramExchange(verifier, false, SERVER_NONCE)
    const firstText = Buffer.from(first ?? []).toString()
    const finalText = Buffer.from(final ?? []).toString()
    let passed = false
    const refused = refusalOf(() => {
      exchange.begin(firstText)
      passed = exchange.finish(finalText).ok
    }, PgError)
    if (refused !== undefined || !passed) return
    const at = finalText.lastIndexOf(',p=')
    const bare = /^[ny],,(.*)$/s.exec(firstText)?.[1]
    if (bare === undefined) throw new Finding('a first message without a GS2 header of its own was accepted')
    const nonce = /r=([^,]*)/.exec(finalText)?.[1] ?? ''
    // A damaged verifier has another salt or count; the client of this exchange would have been told those.
    const challenge = `r=${nonce},s=${verifier.salt.toString('base64')},i=${verifier.iterations}`
    const right = proofFor(PASSWORD, `${bare},${challenge},${finalText.slice(0, at)}`)
    promise(
      nonce.endsWith(SERVER_NONCE) && Buffer.from(finalText.slice(at + 3), 'base64').equals(right),
      () => 'a proof that is not right was accepted',
    )
  },
}

function hurt(random: SimRandom, message: string): Buffer {
  const parts = message.split(',')
  switch (random.below(4)) {
    case 0:
      return damaged(random, Buffer.from(message))
    case 1:
      return Buffer.from([...parts, random.pick(parts)].join(','))
    case 2:
      return Buffer.from(parts.filter((_, index) => index !== random.below(parts.length)).join(','))
    default:
      return Buffer.from(parts.toSpliced(random.below(parts.length), 0, text(random)).join(','))
  }
}
