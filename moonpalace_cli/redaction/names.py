"""The names of headers and fields that hold accounts, users and files, in lower case; secrets: `wire.secrets.names`."""

ACCOUNT_HEADERS = frozenset(
    {
        "anthropic-organization-id",
        "msh-gid",
        "msh-org-id",
        "msh-project-id",
        "msh-uid",
        "openai-organization",
        "openai-project",
        "x-account-id",
        "x-msh-gid",
        "x-msh-org-id",
        "x-msh-project-id",
        "x-msh-uid",
        "x-org-id",
        "x-tenant-id",
    }
)
USER_HEADERS = frozenset(
    {
        "cf-connecting-ip",
        "forwarded",
        "from",
        "true-client-ip",
        "x-client-ip",
        "x-forwarded-for",
        "x-forwarded-user",
        "x-real-ip",
        "x-remote-user",
        "x-user",
        "x-user-email",
        "x-user-id",
        "x-user-name",
    }
)
ACCOUNT_MEMBERS = frozenset(
    {"account_id", "group_id", "org_id", "organization_id", "project_id", "tenant_id", "uid", "gid"}
)
USER_MEMBERS = frozenset(
    {"end_user_id", "prompt_cache_key", "safety_identifier", "user", "user_id", "userid", "username"}
)
FILE_MEMBERS = frozenset({"audio", "b64_json", "base64", "data", "file_data", "image"})
