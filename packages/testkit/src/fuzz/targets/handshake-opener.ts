/** The opening side of the handshake, fed with whatever answers: it believes nobody who cannot prove that it holds the key. */
import { createHmac, hkdfSync } from 'node:crypto'
import { MirabelleError } from '@mirabelle/messages'
import type { Hello, Party } from '@mirabelle/runtime'
import { AccepterHandshake, deriveKeys, OpenerHandshake } from '@mirabelle/runtime/net'
import { pack, unpack } from '@mirabelle/runtime/wire'
import { bytes } from '../draw.ts'
import { promise, refusalOf, type FuzzTarget } from '../fuzz-target.ts'
import { damaged, damagedValue } from '../mutate.ts'

const KEY = Buffer.alloc(32, 9)
const keys = deriveKeys(KEY)
const binding = Buffer.from('a TLS session')
const hello: Hello = {
  clusterId: 'c',
  kind: 'cli',
  dbid: 0,
  content: -1,
  name: 'h0',
  purpose: 'control',
  epoch: 0,
}
const self: Party = { clusterId: 'c', kind: 'instance', dbid: 2, content: 0, name: 'h1' }
const hex = (count: number): string => 'cd'.repeat(count)

export const handshakeOpener: FuzzTarget = {
  name: 'handshake-opener',
  what: 'what a server answers in the handshake: only the holder of the key is believed',
  draw(random) {
    const theirs = random.chance(0.8) ? keys : deriveKeys(bytes(random, 32))
    const accepter = new AccepterHandshake({ keys: theirs, hex, binding })
    const opener = new OpenerHandshake({ keys, hex, binding }, hello, 0)
    const answer = accepter.receive(opener.hello())
    const challenge = 'send' in answer ? answer.send : Buffer.alloc(0)
    const step = opener.receive(challenge)
    const refusal = random.chance(0.3)
    let last: Buffer
    try {
      accepter.receive('send' in step ? step.send : Buffer.alloc(0))
      last = refusal ? accepter.refuse(new MirabelleError('not.ready', 'starting')) : accepter.welcome(self)
    } catch {
      last = accepter.refuse(new MirabelleError('handshake.failed', 'no')) // its key is another one
    }
    switch (random.below(6)) {
      case 0:
        return [damaged(random, challenge), last]
      case 1:
        return [pack(damagedValue(random, unpack(challenge))), last]
      case 2:
        return [challenge, damaged(random, last)]
      case 3:
        return [challenge, pack(damagedValue(random, unpack(last)))]
      default:
        return [challenge, last]
    }
  },
  run([challenge, last]) {
    const opener = new OpenerHandshake({ keys, hex, binding }, hello, 0)
    let party: Party | undefined
    let mine: Uint8Array = Buffer.alloc(0)
    const refused = refusalOf(() => {
      const step = opener.receive(Buffer.from(challenge ?? []))
      if ('send' in step) mine = (unpack(step.send) as { proof: Uint8Array }).proof
      const end = opener.receive(Buffer.from(last ?? []))
      if ('peer' in end) party = end.peer
    }, MirabelleError)
    if (refused !== undefined || party === undefined) return
    const told = unpack(Buffer.from(last ?? [])) as { welcome: Uint8Array; proof: Uint8Array }
    const hmac = createHmac(
      'sha256',
      Buffer.from(hkdfSync('sha256', KEY, 'mirabelle', 'handshake accepter', 32)),
    )
    for (const part of [binding, opener.hello(), challenge ?? Buffer.alloc(0), mine, told.welcome]) {
      const length = Buffer.alloc(4)
      length.writeUInt32BE(part.length)
      hmac.update(length).update(part)
    }
    promise(hmac.digest().equals(told.proof), () => 'a server was believed whose proof is not right')
  },
}
