/**
 * Register histories in the log format that Porcupine's etcd model reads (`INFO jepsen.util - 3 :invoke :cas [1 2]`), one text for each key. What was
 * refused is left out, since it did nothing; what nobody knows is left open, which Porcupine takes for "at any time later".
 */
import { registerCalls, type RegisterCall } from '../check/register-calls.ts'
import type { Op } from './op.ts'

/** The texts by key. */
export function porcupineLogs(ops: readonly Op[]): Map<number, string> {
  const texts = new Map<number, string>()
  for (const [key, calls] of registerCalls(ops)) texts.set(key, logOf(calls))
  return texts
}

function logOf(calls: readonly RegisterCall[]): string {
  const lines = calls.flatMap((call) => {
    const { process, invokedAt, endedAt } = call
    const begun = { at: invokedAt, text: line(process, 'invoke', asked(call)) }
    return call.isKnown ? [begun, { at: endedAt, text: line(process, ...told(call)) }] : [begun]
  })
  return lines
    .sort((a, b) => a.at - b.at)
    .map(({ text }) => text)
    .join('')
}

function line(process: number, type: string, rest: string): string {
  return `INFO  jepsen.util - ${process}\t:${type}\t${rest}\n`
}

function asked({ action }: RegisterCall): string {
  if (action.f === 'read') return ':read\tnil'
  return action.f === 'write' ? `:write\t${action.to}` : `:cas\t[${action.from} ${action.to}]`
}

function told(call: RegisterCall): [type: string, rest: string] {
  const { action } = call
  if (action.f === 'read') return ['ok', `:read\t${action.seen ?? 'nil'}`]
  if (action.f === 'write') return ['ok', asked(call)]
  return [action.swapped ? 'ok' : 'fail', asked(call)]
}
