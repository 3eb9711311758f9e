// Requests and answers without a network: each ends once, and makes room.
import t from 'tap'
import { MirabelleError, type Message } from '@mirabelle/messages'
import { MAX_OUTSTANDING_REQUESTS, PendingRequests } from '../src/net/pending-requests.ts'
import { makeResponder } from '../src/net/responder.ts'
import { toErrorMessage } from '../src/wire/wire-error.ts'
import { recordingLogger } from './suites/recording-logger.ts'
import { handClock } from './support/hand-clock.ts'

t.test('requests that had no answer in time make room for others', async (t) => {
  const { clock, advance, pending } = handClock()
  const requests = new PendingRequests(clock, 'h1')
  const sent: number[] = []
  const ask = () => requests.start({ type: 'cluster.probe' }, 100, (rid) => sent.push(rid))
  const all = Array.from({ length: MAX_OUTSTANDING_REQUESTS }, () => ask())
  await t.rejects(ask(), { code: 'queue.full' })
  const ends = Promise.allSettled(all)
  advance(100)
  for (const end of await ends)
    if (end.status !== 'rejected') t.fail('a request without an answer is answered')
  t.equal(new Set(sent).size, MAX_OUTSTANDING_REQUESTS, 'no number comes twice')
  const next = ask()
  requests.settle(sent[0] as number, { type: 'ok' }) // too late
  requests.settle(sent.at(-1) as number, { type: 'ok' })
  t.same(await next, { type: 'ok' })
  t.equal(pending(), 0, 'no timer is left')
})

t.test('a second answer is dropped, with a line in the log', async (t) => {
  const { log, lines } = recordingLogger()
  const replies: Message[] = []
  const responder = makeResponder('cluster.probe', 1, log, (reply) => replies.push(reply))
  responder.reply({ type: 'ok' } as never)
  responder.reply({ type: 'ok' } as never)
  responder.fail(new MirabelleError('internal', 'too late'))
  t.same(replies, [{ type: 'ok' }])
  t.equal(lines.filter(({ sentence }) => /answered twice/.test(sentence)).length, 2)
})

t.test('the text of an error that is sent is cut', async (t) => {
  const long = 'x'.repeat(10_000)
  for (const error of [new MirabelleError('internal', long), new Error(long), long])
    t.equal(toErrorMessage(error).message, 'x'.repeat(4_000))
})
