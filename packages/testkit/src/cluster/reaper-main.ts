/**
 * Entry of the reaper: `node reaper-main.js FOLDER`. Started beside each test cluster with a pipe as its input; when the pipe closes (the test
 * has ended, or was ended with Ctrl-C or SIGKILL) it kills every process of the cluster, deletes the folder and ends. So no test, however
 * it ends, leaves processes behind.
 */
import { rm } from 'node:fs/promises'
import { killBelow } from './processes-below.ts'
import { waitFor } from './wait-for.ts'

const dir = process.argv[2] as string
// In a session of its own: Ctrl-C in the terminal does not reach it, and its own folder is not the cluster's.
process.chdir('/')
process.stdin.resume()
process.stdin.once('close', () => {
  void clean().then(
    () => process.exit(0),
    (error: unknown) => {
      process.stderr.write(`the test cluster in ${dir} was not cleaned up: ${String(error)}\n`)
      process.exit(1)
    },
  )
})

async function clean(): Promise<void> {
  await waitFor(`the end of the processes below ${dir}`, () => killBelow(dir).length === 0, 20_000)
  if (process.env['MIRABELLE_KEEP_TEST_CLUSTERS'] === undefined)
    await rm(dir, { recursive: true, force: true, maxRetries: 5 })
}
