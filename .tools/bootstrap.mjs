// Called first by every npm script: `node .tools/bootstrap.mjs [--install-only]`.
// On a fresh clone it installs and builds; later it returns within milliseconds. Needs Node and npm only.
import { makeReady, NotReady } from './lib/ready.mjs'

try {
  await makeReady({ build: !process.argv.includes('--install-only') })
} catch (error) {
  if (!(error instanceof NotReady)) throw error
  process.stderr.write(`${error.message}\n`)
  process.exitCode = 1
}
