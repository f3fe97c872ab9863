import { IsOptional, Matches } from 'class-validator';
import { WORKSPACE_NAME, WORKSPACE_RULE } from '../grants/workspace-name';
import { IsSecretName, IsSecretValue } from './secret-requests';

/** Delete: `{Key}`; `Workspace` is ours, for apps that hold grants on several. */
export class AppSecretKeyRequest {
  @IsSecretName()
  Key!: string;

  @IsOptional()
  @Matches(WORKSPACE_NAME, { message: WORKSPACE_RULE })
  Workspace?: string;
}

/** Create and update: `{Key, Value}`. */
export class AppSecretRequest extends AppSecretKeyRequest {
  @IsSecretValue()
  Value!: string;
}
