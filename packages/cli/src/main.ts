/** Entry of the `mirabelle` command. Ctrl-C undoes what is half done. */
import { allowFaults } from '@mirabelle/runtime'
import { run } from './run.ts'
import { installInterrupts } from './terminal/interrupt.ts'

// What a command writes into the folder of a cluster is its owner's alone.
process.umask(0o077)
installInterrupts()
// Whoever reads the output may stop reading (`mirabelle state | head`): that is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : 1)
})
await run(process.argv.slice(2), () => allowFaults(['cli']))
