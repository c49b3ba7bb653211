/* A module that keeps tensors as hashes: of what RedisAI does, as much as SmartRedis' put_tensor and
 * get_tensor need. A module finds the server's functions through the first word of its context
 * (redismodule.h), so that it is built without that header. */
typedef struct Context Context;
typedef struct String String;
typedef struct Reply Reply;

static Reply *(*call)(Context *, const char *, const char *, ...);
static int (*reply_array)(Context *, long);
static int (*reply_reply)(Context *, Reply *);
static int (*reply_text)(Context *, const char *);
static int (*reply_number)(Context *, long long);
static int (*number)(const String *, long long *);
static String *(*from_reply)(Reply *);
static int (*arity)(Context *);

/* AI.TENSORSET key TYPE d1..dn BLOB bytes; one dimension is enough here. */
static int set(Context *context, String **words, int count)
{
    if (count != 6) return arity(context);
    Reply *reply = call(context, "HSET", "scscscs", words[1], "type", words[2], "length", words[3],
                        "blob", words[5]);
    return reply_reply(context, reply);
}

/* AI.TENSORGET key META BLOB */
static int get(Context *context, String **words, int count)
{
    if (count != 4) return arity(context);
    long long length = 0;
    String *shown = from_reply(call(context, "HGET", "sc", words[1], "length"));
    if (shown) number(shown, &length);
    reply_array(context, 6);
    reply_text(context, "dtype");
    reply_reply(context, call(context, "HGET", "sc", words[1], "type"));
    reply_text(context, "shape");
    reply_array(context, 1);
    reply_number(context, length);
    reply_text(context, "blob");
    return reply_reply(context, call(context, "HGET", "sc", words[1], "blob"));
}

int RedisModule_OnLoad(Context *context, String **words, int count)
{
    int (*function)(const char *, void *) = *(void **)context;
    void (*attributes)(Context *, const char *, int, int);
    int (*command)(Context *, const char *, int (*)(Context *, String **, int), const char *, int,
                   int, int);
    function("RedisModule_SetModuleAttribs", &attributes);
    function("RedisModule_CreateCommand", &command);
    function("RedisModule_Call", &call);
    function("RedisModule_ReplyWithArray", &reply_array);
    function("RedisModule_ReplyWithCallReply", &reply_reply);
    function("RedisModule_ReplyWithSimpleString", &reply_text);
    function("RedisModule_ReplyWithLongLong", &reply_number);
    function("RedisModule_StringToLongLong", &number);
    function("RedisModule_CreateStringFromCallReply", &from_reply);
    function("RedisModule_WrongArity", &arity);
    attributes(context, "tensors", 1, 1);
    return command(context, "ai.tensorset", set, "write deny-oom", 1, 1, 1) |
           command(context, "ai.tensorget", get, "readonly", 1, 1, 1);
}
