# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# devstack calls this as `source plugin.sh MODE [PHASE]`, after `settings`.
#
#   stack pre-install   refuses what cannot work
#   stack install       installs headwater and its openstack commands
#   stack post-config   writes headwater.conf, makes the database and the encryption key
#   stack extra         makes users and catalog entries, starts the services
#   stack test-config   adds the subclouds and has them managed
#   unstack             stops the services
#   clean               removes configuration and keys
#
# Only functions and variables of devstack that tests/devstack/functions records are used. A stack
# after an unstack begins with an empty database and a new key; what Keystone has is kept.

_XTRACE_HEADWATER=$(set +o | grep xtrace)
set +o xtrace

# is_service_enabled asks this for the name `headwater`.
function is_headwater_enabled {
    [[ ",$ENABLED_SERVICES" == *,headwater-* ]]
}

# Ends the run with one line that says what to change, before anything is installed.
function check_headwater {
    if ! is_service_enabled keystone; then
        die $LINENO "headwater fronts this host's Keystone: enable_service key"
    fi
    # Its tables have a collation that MySQL does not know.
    if is_service_enabled mysql && [[ "$MYSQL_SERVICE_NAME" == mysql ]]; then
        die $LINENO "headwater needs MariaDB or PostgreSQL: set MYSQL_SERVICE_NAME=mariadb"
    fi
}

# Not setup_develop: that looks for the package's name in setup.cfg and ends the run without one.
function install_headwater {
    pip_install -e "${HEADWATER_DIR}[client]"
}

# headwater_endpoint TYPE KEY: prints a plain value of the endpoint file of a type.
function headwater_endpoint {
    local type=$1 key=$2 directory value
    for directory in "$HEADWATER_ENDPOINTS_DIRECTORY" "$HEADWATER_DIR/headwater/common/endpoints"; do
        if [[ -n "$directory" && -r "$directory/$type.yaml" ]]; then
            value=$(sed -n "s/^$key: *\([A-Za-z0-9_.-]*\).*/\1/p" "$directory/$type.yaml")
            break
        fi
    done
    if [[ -z "${value:-}" ]]; then
        die $LINENO "HEADWATER_ENDPOINT_TYPES: no endpoint file says what the $key of $type is"
    fi
    echo "$value"
}

# headwater_port TYPE: prints the port on which the gateway listens for a type.
function headwater_port {
    local name=${1//-/_}
    local variable=HEADWATER_${name^^}_PORT
    if [[ -n "${!variable:-}" ]]; then
        echo "${!variable}"
    else
        headwater_endpoint "$1" default_port
    fi
}

# headwater_gateway_url TYPE: prints the gateway's address for a type: paths pass it unchanged, so
# all that follows the host is as in the central cloud's own entry.
function headwater_gateway_url {
    local type=$1 service_type port url path=""
    service_type=$(headwater_endpoint "$type" service_type)
    port=$(headwater_port "$type")
    url=$(openstack --os-cloud devstack-system-admin endpoint list --service "$service_type" \
        --interface public --region "$REGION_NAME" -c URL -f value)
    if [[ -z "$url" ]]; then
        die $LINENO "the catalog has no $service_type in $REGION_NAME for the gateway to front"
    fi
    url=${url#*://}
    if [[ "$url" == */* ]]; then
        path=/${url#*/}
        path=${path%/}
    fi
    # With it clients need not ask for versions, which Keystone answers with its own address.
    if [[ "$type" == identity && "$path" != */v3 ]]; then
        path+=/v3
    fi
    echo "http://$SERVICE_HOST:$port$path"
}

function configure_headwater {
    local section
    sudo install -d -m 700 -o "$STACK_USER" "$HEADWATER_CONF_DIR" "$HEADWATER_STATE_PATH"
    # It holds passwords.
    install -m 600 /dev/null "$HEADWATER_CONF"

    iniset "$HEADWATER_CONF" DEFAULT debug "$ENABLE_DEBUG_LOG_LEVEL"
    setup_logging "$HEADWATER_CONF"
    iniset "$HEADWATER_CONF" DEFAULT state_path "$HEADWATER_STATE_PATH"
    iniset "$HEADWATER_CONF" DEFAULT api_workers "$API_WORKERS"
    iniset_rpc_backend headwater "$HEADWATER_CONF" DEFAULT "$HEADWATER_RPC_VHOST"

    iniset "$HEADWATER_CONF" database connection "$(database_connection_url "$HEADWATER_DB")"
    # Per process, of which there are several: devstack's PostgreSQL has 200 for everybody.
    iniset "$HEADWATER_CONF" database max_pool_size 5
    iniset "$HEADWATER_CONF" database max_overflow 20

    configure_keystone_authtoken_middleware "$HEADWATER_CONF" headwater
    configure_headwater_reader
    configure_headwater_endpoint_types
    iniset "$HEADWATER_CONF" api listen "$SERVICE_LISTEN_ADDRESS:$HEADWATER_API_PORT"
    # Without TLS there is no such file. Subclouds have certificates of their own.
    if [[ -f "$SSL_BUNDLE_FILE" ]]; then
        for section in api_proxy central; do
            iniset "$HEADWATER_CONF" "$section" cafile "$SSL_BUNDLE_FILE"
        done
    fi
}

# How the engine logs in to the central cloud. devstack has public endpoints only.
function configure_headwater_reader {
    iniset "$HEADWATER_CONF" central region_name "$REGION_NAME"
    iniset "$HEADWATER_CONF" central interface public
    iniset "$HEADWATER_CONF" central auth_type password
    iniset "$HEADWATER_CONF" central auth_url "$KEYSTONE_SERVICE_URI"
    iniset "$HEADWATER_CONF" central username headwater-reader
    iniset "$HEADWATER_CONF" central password "$SERVICE_PASSWORD"
    iniset "$HEADWATER_CONF" central user_domain_name "$SERVICE_DOMAIN_NAME"
    if [[ "$HEADWATER_READER_SCOPE" == system ]]; then
        iniset "$HEADWATER_CONF" central system_scope all
    else
        iniset "$HEADWATER_CONF" central project_name admin
        iniset "$HEADWATER_CONF" central project_domain_name Default
    fi
}

# Types that are not wanted are turned off by name: headwater enables all that it knows.
function configure_headwater_endpoint_types {
    local type file port
    if [[ -n "$HEADWATER_ENDPOINTS_DIRECTORY" ]]; then
        iniset "$HEADWATER_CONF" endpoints directory "$HEADWATER_ENDPOINTS_DIRECTORY"
    fi
    for file in "$HEADWATER_DIR"/headwater/common/endpoints/*.yaml; do
        type=$(basename "$file" .yaml)
        if [[ " $HEADWATER_ENDPOINT_TYPES " != *" $type "* ]]; then
            iniset "$HEADWATER_CONF" "endpoint_type:$type" enabled False
        fi
    done
    for type in $HEADWATER_ENDPOINT_TYPES; do
        port=$(headwater_port "$type")
        iniset "$HEADWATER_CONF" "endpoint_type:$type" listen "$SERVICE_LISTEN_ADDRESS:$port"
        iniset "$HEADWATER_CONF" "endpoint_type:$type" audit "$HEADWATER_AUDIT"
    done
}

# The second time everything is new: no old key can open anything in an empty database.
function init_headwater {
    if is_service_enabled rabbit; then
        rpc_backend_add_vhost "$HEADWATER_RPC_VHOST"
    fi
    recreate_database "$HEADWATER_DB"
    "$HEADWATER_BIN_DIR/headwater-manage" --config-file "$HEADWATER_CONF" db sync
    rm -rf "${HEADWATER_STATE_PATH:?}/keys"
    "$HEADWATER_BIN_DIR/headwater-manage" --config-file "$HEADWATER_CONF" secrets create
}

# The user that checks tokens has the role service and no other; the one that reads may not write.
function create_headwater_accounts {
    create_service_user headwater
    get_or_create_user headwater-reader "$SERVICE_PASSWORD" "$SERVICE_DOMAIN_NAME"
    if [[ "$HEADWATER_READER_SCOPE" == system ]]; then
        get_or_add_user_system_role reader headwater-reader all "$SERVICE_DOMAIN_NAME"
    else
        get_or_add_user_project_role admin headwater-reader admin "$SERVICE_DOMAIN_NAME" Default
    fi
}

# The region is made by name, because an endpoint in a region that is not there is refused.
function create_headwater_catalog {
    local type url
    if ! openstack --os-cloud devstack-system-admin region show "$HEADWATER_REGION" >/dev/null 2>&1; then
        openstack --os-cloud devstack-system-admin region create "$HEADWATER_REGION" \
            --description "The gateway in front of $REGION_NAME"
    fi
    for type in $HEADWATER_ENDPOINT_TYPES; do
        url=$(headwater_gateway_url "$type")
        get_or_create_endpoint "$(headwater_endpoint "$type" service_type)" "$HEADWATER_REGION" "$url"
    done
    get_or_create_service headwater headwater "Orchestration of subclouds"
    get_or_create_endpoint headwater "$HEADWATER_REGION" "http://$SERVICE_HOST:$HEADWATER_API_PORT"
}

# A cloud in clouds.yaml, as devstack-admin but for the region: of a cloud that is named there the
# openstack command takes no other region than the one that stands there.
function write_headwater_cloud {
    "$PYTHON" "$HEADWATER_DIR/devstack/add_cloud.py" "$OPENSTACKCLIENT_CONF_DIR/clouds.yaml" \
        "$HEADWATER_CLOUD" "$HEADWATER_REGION"
}

# run_process writes a systemd unit and starts it, where the service is enabled.
function start_headwater {
    local service type
    for service in $HEADWATER_SERVICES; do
        run_process "$service" "$HEADWATER_BIN_DIR/$service --config-file $HEADWATER_CONF"
    done
    if is_service_enabled headwater-api; then
        wait_for_headwater "http://$SERVICE_HOST:$HEADWATER_API_PORT/healthcheck"
    fi
    if is_service_enabled headwater-api-proxy; then
        for type in $HEADWATER_ENDPOINT_TYPES; do
            wait_for_headwater "http://$SERVICE_HOST:$(headwater_port "$type")/"
        done
    fi
}

function wait_for_headwater {
    if ! wait_for_service "$SERVICE_TIMEOUT" "$1"; then
        die $LINENO "headwater does not answer at $1: see journalctl --unit 'devstack@headwater-*'"
    fi
}

# A subcloud that does not answer yet is no obstacle: it gets everything once it does.
function add_headwater_subclouds {
    local entry name auth_url
    for entry in $HEADWATER_SUBCLOUDS; do
        name=${entry%%=*}
        auth_url=${entry#*=}
        if ! wait_for_service "$HEADWATER_SUBCLOUD_TIMEOUT" "$auth_url"; then
            warn $LINENO "$name does not answer at $auth_url yet; it is added all the same"
        fi
        add_headwater_subcloud "$name" "$auth_url"
        headwater_openstack subcloud manage "$name"
    done
}

# The password goes through the environment, past the trace and the arguments of any process.
function add_headwater_subcloud {
    (
        set +o xtrace
        export HEADWATER_SUBCLOUD_PASSWORD=${HEADWATER_SUBCLOUD_PASSWORD:-$ADMIN_PASSWORD}
        headwater_openstack subcloud add "$1" --auth-url "$2" \
            --username "$HEADWATER_SUBCLOUD_USERNAME" --project-name "$HEADWATER_SUBCLOUD_PROJECT"
    )
}

# By its path: the command of devstack's openstack-cli-server would not pass that variable on.
function headwater_openstack {
    "$HEADWATER_BIN_DIR/openstack" --os-cloud "$HEADWATER_CLOUD" "$@"
}

function stop_headwater {
    local service
    for service in $HEADWATER_SERVICES; do
        stop_process "$service"
    done
}

# The database and the virtual host go with their servers, which clean.sh removes.
function cleanup_headwater {
    sudo rm -rf "${HEADWATER_CONF_DIR:?}" "${HEADWATER_STATE_PATH:?}"
}

# shellcheck disable=SC2086  # two words
$_XTRACE_HEADWATER

if is_service_enabled headwater; then
    case "$1 ${2:-}" in
        "stack pre-install")
            check_headwater
            ;;
        "stack install")
            echo_summary "Installing headwater"
            install_headwater
            ;;
        "stack post-config")
            echo_summary "Configuring headwater"
            configure_headwater
            init_headwater
            ;;
        "stack extra")
            echo_summary "Starting headwater"
            create_headwater_accounts
            create_headwater_catalog
            write_headwater_cloud
            start_headwater
            ;;
        "stack test-config")
            echo_summary "Adding headwater's subclouds"
            add_headwater_subclouds
            ;;
        "unstack ")
            stop_headwater
            ;;
        "clean ")
            cleanup_headwater
            ;;
    esac
fi
