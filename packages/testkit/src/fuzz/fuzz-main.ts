/** Entry of `npm run fuzz`: reads the options, fuzzes each target in a watched thread, keeps and prints what failed. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fuzzHelp, parseFuzzArgs, WrongOption, type FuzzArgs } from './fuzz-options.ts'
import type { FuzzInput } from './fuzz-target.ts'
import { drawInput, type FuzzResult } from './run-target.ts'
import { fuzzTargets } from './targets/index.ts'
import { watchTarget } from './watch-target.ts'

const say = (line: string): void => void process.stdout.write(`${line}\n`)
const PROGRESS_MS = 30_000
/** Pieces of an input that are printed; the file has all. */
const MOST_SHOWN = 40

async function main(): Promise<number> {
  const args = parseFuzzArgs(process.argv.slice(2))
  if (args.help) {
    say(fuzzHelp())
    return 0
  }
  say(`seed ${args.seed}`)
  let failed = 0
  for (const name of args.targets) {
    const result = await fuzz(name, args)
    say(lineOf(result))
    if (result.failure === undefined) continue
    failed++
    tellFailure(result, args)
  }
  return failed === 0 ? 0 : 1
}

function fuzz(name: string, { seed, inputs, minutes, input }: FuzzArgs): Promise<FuzzResult> {
  let told = performance.now()
  const options =
    input === undefined
      ? { seed, inputs, ...(minutes === undefined ? {} : { forMs: minutes * 60_000 }) }
      : { seed, first: input, inputs: 1, watchResources: false }
  if (input !== undefined) say(shown(drawnBy(name, seed, input)))
  return watchTarget(name, options, {
    onProgress(index) {
      if (performance.now() - told < PROGRESS_MS) return
      told = performance.now()
      process.stderr.write(`${name}: input ${index}\n`)
    },
  })
}

function lineOf({ target, inputs, ms, grownBytes, failure }: FuzzResult): string {
  const seconds = ms / 1000
  const rate = Math.round(inputs / Math.max(seconds, 0.001))
  const memory = `${grownBytes >= 0 ? '+' : ''}${Math.round(grownBytes / 1024)} KiB held`
  return `${failure === undefined ? 'ok    ' : 'FAILED'} ${target.padEnd(18)}${inputs} inputs in ${seconds.toFixed(1)} s, ${rate} a second, ${memory}`
}

function tellFailure({ target, seed, failure }: FuzzResult, { out }: FuzzArgs): void {
  if (failure === undefined) return
  say(`       ${failure.error.split('\n').join('\n       ')}`)
  if (failure.input !== undefined) {
    say(`       shrunk to:\n${shown(failure.input)}`)
    mkdirSync(out, { recursive: true })
    const file = join(out, `${target}-${seed}-${failure.index}.json`)
    const pieces = failure.input.map((piece) => Buffer.from(piece).toString('hex'))
    writeFileSync(
      file,
      `${JSON.stringify({ target, seed, index: failure.index, error: failure.error, pieces }, null, 2)}\n`,
    )
    say(`       kept in ${file}`)
  }
  say(`       again: npm run fuzz -- --target ${target} --seed ${seed} --input ${failure.index}`)
}

function drawnBy(name: string, seed: number, index: number): FuzzInput {
  const target = fuzzTargets.find((one) => one.name === name)
  return target === undefined ? [] : drawInput(target, seed, index)
}

/** Each piece in hexadecimal, and as text beside it. */
function shown(input: FuzzInput): string {
  const more = input.length > MOST_SHOWN ? `\n       … ${input.length - MOST_SHOWN} more` : ''
  const pieces = input
    .slice(0, MOST_SHOWN)
    .map((piece) => {
      const bytes = Buffer.from(piece)
      const text = bytes.toString('latin1').replace(/[^\x20-\x7e]/g, '.')
      return `       ${bytes.length} bytes  ${bytes.toString('hex').slice(0, 400)}  ${text.slice(0, 200)}`
    })
    .join('\n')
  return pieces + more
}

try {
  process.exitCode = await main()
} catch (error) {
  process.stderr.write(
    `${error instanceof WrongOption ? error.message : ((error as Error).stack ?? String(error))}\n`,
  )
  process.exitCode = 2
}
