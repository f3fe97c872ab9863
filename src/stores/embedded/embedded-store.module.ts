import { Module, type DynamicModule } from '@nestjs/common';
import { factory, Runtime } from '../../bootstrap/runtime.module';
import { ServiceProblems } from '../../http/controllers/health.controller';
import { Telemetry } from '../../telemetry/telemetry.module';
import { StoreBackend } from '../stores.module';
import { type EmbeddedStoreOptions, EmbeddedSecretStore } from './embedded.secret-store';
import { tornTailsIn } from './vault/vault-database';

@Module({})
export class EmbeddedStoreModule {
  static register(options: EmbeddedStoreOptions): DynamicModule {
    const backend = factory(
      StoreBackend,
      [Runtime, Telemetry, ServiceProblems],
      async ({ log }, telemetry, problems) => {
        const store = await EmbeddedSecretStore.open(options);
        const torn = await tornTailsIn(options.dataDir);
        for (const file of torn) log('warn', 'embedded_store_tail_put_aside', { file });
        telemetry.disk?.opened(() => store.diskFigures());
        problems.add(() => [...store.problems(), ...torn.map(tornTail)]);
        return { store, deletionJobs: store.deletionJobs };
      },
    );
    return { module: EmbeddedStoreModule, providers: [backend], exports: [backend] };
  }
}

function tornTail(file: string): string {
  return `The end of a write that was never acknowledged, as a power cut leaves it, was put aside as ${file}: remove that file.`;
}
